"""How fast is an open, each on disk before its answer, beside nginx serving the same picture in the same run? How long do
opens take while mails go out and a dashboard is open? What is missing when the web process is killed amid a burst?"""

from __future__ import annotations

import base64
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

from sqlalchemy import text

from bench.measure import wait_for
from bench.ours import Service
from bench.postfix import Sink, program
from bench.report import Target, at_least, at_most, exactly
from challenge.access.users import add_user
from challenge.tokens import Purpose, Tokens
from challenge.tracking.spool import SPOOL

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
LINES = 16
PACE = 100.0
_NAME, _PASSWORD = "bench", "a password of the bench"
_DASHBOARD_SECONDS = 1.0


def tracking(folder: Path, fresh: Any, *, opens: int, burst: int, people: int, kinds: tuple[str, ...]) -> list[Target]:
    """`opens` over `people` mails for the rate, and at PACE a second among mails that go out; then `burst` of them, and
    the web process is killed in the middle."""
    print(f"\n{LINES} lines, each open on disk before its answer; {people:,} people get a mail meanwhile\n")
    print(f"{'':10} {'nginx/s':>9} {'opens/s':>9} {'of nginx':>9} {'p99 ms':>7}  {f'at {PACE:.0f}/s, busy: p50':>20} {'p99 ms':>7} {'nginx':>7}"
          f" {'mails/s':>8} {'burst':>8} {'per s':>7} {'in DB s':>7} {'lost':>5} {'doubled':>8}")  # fmt: skip
    targets: list[Target] = []
    for kind in kinds:
        targets += _one(folder / kind, fresh(kind, "tracking"), kind, opens, burst, people)
    return targets


def _one(folder: Path, url: str, kind: str, opens: int, burst: int, people: int) -> list[Target]:
    sink = Sink()
    service = Service(folder, url, sink.url, people)
    web = Web(service, folder)
    signer = Tokens([service.environ["CHALLENGE_SECRET_KEY"]])
    asks = [_ask(signer.sign(Purpose.opened, number)) for number in range(1, people + 1)]
    try:
        ask(web.port, asks, 500)
        beside = [nginx_rate(folder, 30_000)]
        alone = ask(web.port, asks, opens)
        beside.append(nginx_rate(folder, 30_000))
        ratio = alone.rate / statistics.mean(beside)
        busy, theirs, mails = _while_busy(service, web, sink, asks)
        wait_for(lambda: sink.taken() >= people, 600, "the mails")
        before = settled(service)
        killer = threading.Timer(burst / alone.rate / 2, web.kill_and_start)
        killer.start()
        told = ask(web.port, asks, burst)
        killer.join()
        ended = time.monotonic()
        found = settled(service) - before
        late = time.monotonic() - ended
        lost = (told.answered - found).total()
        doubled = (found - told.answered - told.again).total()
    finally:
        web.stop(signal.SIGTERM)
        service.close()
        sink.close()
    print(f"{kind:10} {statistics.mean(beside):9,.0f} {alone.rate:9,.0f} {ratio:9.3f} {alone.p99:7.1f}  {busy.p50:20.1f} {busy.p99:7.1f} {theirs.p99:7.1f}"
          f" {mails:8,.0f} {told.answered.total():8,} {told.rate:7,.0f} {late:7.1f} {lost:5} {doubled:8}", flush=True)  # fmt: skip
    return [
        at_least(f"opens/s of nginx's, {kind}", ratio, 0.08),
        at_most(f"p99 of an open among mails and a dashboard, {kind}", busy.p99, 50, " ms"),
        exactly(f"opens of a burst that were answered, {kind}", told.answered.total(), burst),
        exactly(f"of them lost by kill -9 of the web process, {kind}", lost, 0),
        exactly(f"of them doubled, {kind}", doubled, 0),
    ]


def _while_busy(service: Service, web: Web, sink: Sink, asks: list[bytes]) -> tuple[Answers, Answers, float]:
    """Opens at PACE while mails go out and the dashboard's first page is loaded once a second, until nine tenths of the
    mails are out; the same picture from nginx, a tenth as often, which tells what the machine alone does to an answer; and
    the mails a second."""
    over, theirs = threading.Event(), Answers()

    def ask_nginx() -> None:
        nonlocal theirs
        with nginx(service.folder) as port:
            question = b"GET /o.gif HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            theirs = ask(port, [question], 1_000_000, pace=PACE / 10, is_over=over.is_set)

    others = [threading.Thread(target=web.look_at_dashboard, args=(over,)), threading.Thread(target=ask_nginx)]
    for other in others:
        other.start()
    began, first = time.monotonic(), sink.taken()
    service.go()
    enough = service.mails * 9 // 10
    answers = ask(web.port, asks, 1_000_000, pace=PACE, is_over=lambda: sink.taken() >= enough)
    rate = (sink.taken() - first) / (time.monotonic() - began)
    over.set()
    for other in others:
        other.join()
    return answers, theirs, rate


class Web:
    """`challenge web` beside a running service, with somebody logged in."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.port = _port()
        own = f"http://127.0.0.1:{self.port}"  # not https: the cookie of the login would stay at home
        self._environ = service.environ | {"CHALLENGE_PORT": str(self.port), "CHALLENGE_BASE_URL": own}
        self._log = (folder / "web.log").open("ab")
        add_user(service.database, _NAME, _PASSWORD)
        self._start()
        self._browser = self._logged_in()

    def kill_and_start(self) -> None:
        self.stop(signal.SIGKILL)
        self._start()

    def stop(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        self._process.wait(60)

    def look_at_dashboard(self, over: threading.Event) -> None:
        while not over.wait(_DASHBOARD_SECONDS):
            assert b'id="headline"' in self._get("/dashboard/")

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "challenge.cli", "web"],
            env=self._environ, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        wait_for(self._answers, 60, f"the web process; its log is {self._log.name}", every=0.1)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the web process ended; its log is {self._log.name}"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def _logged_in(self) -> OpenerDirector:
        self._browser = build_opener(HTTPCookieProcessor())
        found = re.search(rb'name="csrf_token" value="([^"]+)"', self._get("/dashboard/login"))
        assert found is not None
        words = f"name={_NAME}&password={_PASSWORD.replace(' ', '+')}&csrf_token={found[1].decode()}"
        assert b'id="headline"' in self._get("/dashboard/login", words.encode())
        return self._browser

    def _get(self, path: str, data: bytes | None = None) -> bytes:
        with self._browser.open(f"http://127.0.0.1:{self.port}{path}", data, 30) as answer:
            return bytes(answer.read())


@dataclass
class Answers:
    """The seconds each answer took, the numbers of the mails whose opens were answered, and how long it all took. `again`:
    questions whose connection broke, which may have been written down without an answer."""

    seconds: list[float] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)
    again: Counter[int] = field(default_factory=Counter)
    took: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.took

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98] * 1000


class _Line:
    """One connection with at most one question out."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.number, self.asked_at, self.got = -1, 0.0, b""

    def drop(self, eyes: selectors.BaseSelector) -> None:
        if self.socket is not None:
            eyes.unregister(self.socket)
            self.socket.close()
        self.socket, self.got = None, b""


def ask(port: int, asks: list[bytes], count: int, *, pace: float = 0.0, is_over: Callable[[], bool] | None = None,
        seconds: float = 900.0) -> Answers:  # fmt: skip
    """Asks for `count` pictures in turn over LINES connections, at `pace` a second (0: as fast as answers come); a question
    whose connection broke is asked again. With a pace, the time of an answer counts from the moment it was to be asked."""
    answers, eyes = Answers(), selectors.DefaultSelector()
    free, again, given = [_Line() for _ in range(LINES)], list[tuple[int, float]](), 0
    started = looked = time.perf_counter()
    while len(answers.seconds) < count:
        now = time.perf_counter()
        if now - started > seconds:
            raise TimeoutError(f"{len(answers.seconds):,} of {count:,} opens were answered in {seconds:.0f} s")
        if is_over is not None and now - looked > 0.5:
            looked = now
            if is_over():
                break
        while free and (again or (given < count and (not pace or now >= started + given / pace))):
            if again:
                number, at = again.pop()
            else:
                number, at = given % len(asks), (started + given / pace) if pace else now
                given += 1
            line = free.pop()
            line.number, line.asked_at = number, at
            if not _send(line, port, asks[number], eyes):
                again.append((number, at))
                free.append(line)
                time.sleep(0.02)
                break
        for key, _ in eyes.select(0.002 if pace else 0.05):
            line = key.data
            try:
                piece = key.fileobj.recv(4096)  # type: ignore[union-attr]
            except OSError:
                piece = b""
            line.got += piece
            if piece and GIF not in line.got:
                continue
            if piece:
                answers.seconds.append(time.perf_counter() - line.asked_at)
                answers.answered[line.number + 1] += 1
                line.got = b""
            else:
                if line.number >= 0:
                    again.append((line.number, line.asked_at))
                    answers.again[line.number + 1] += 1
                line.drop(eyes)
            if line.number >= 0:
                free.append(line)
            line.number = -1
    answers.took = time.perf_counter() - started
    for key in list(eyes.get_map().values()):
        key.data.drop(eyes)
    eyes.close()
    return answers


def _send(line: _Line, port: int, question: bytes, eyes: selectors.BaseSelector) -> bool:
    try:
        if line.socket is None:
            line.socket = socket.create_connection(("127.0.0.1", port), 5)
            eyes.register(line.socket, selectors.EVENT_READ, line)
        line.socket.sendall(question)
    except OSError:
        line.drop(eyes)
        return False
    return True


def _ask(token: str) -> bytes:
    return f"GET /o/{token}.gif HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 Firefox/132.0\r\n\r\n".encode()


def _port() -> int:
    """A free one that the system gives to no client: one that asks again and again while nobody listens would in the end
    be given that very port, and talk to itself."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in range(low - 1, 1024, -1):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port is free")


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """The port of an nginx, one worker, that serves the same bytes from a file as /o.gif."""
    home = folder / "nginx"
    home.mkdir(exist_ok=True)
    (home / "o.gif").write_bytes(GIF)
    for place in (home, *home.parents[:3]):
        if place.stat().st_uid == os.getuid() and place.is_relative_to(folder.parent.parent):
            place.chmod(0o755)
    port = _port()
    (home / "nginx.conf").write_text(
        f"daemon off; pid {home}/pid; error_log {home}/error.log; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; keepalive_requests 1000000; types {{ image/gif gif; }}\n"
        f"server {{ listen 127.0.0.1:{port}; root {home}; }} }}\n"
    )
    server = subprocess.Popen([program("nginx", "nginx"), "-c", str(home / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def nginx_rate(folder: Path, count: int) -> float:
    """Pictures a second, asked by ab over as many kept lines."""
    with nginx(folder) as port:
        told = subprocess.run(
            [program("ab", "apache2-utils"), "-q", "-k", "-c", str(LINES), "-n", str(count), f"http://127.0.0.1:{port}/o.gif"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    found = re.search(r"Requests per second:\s+([\d.]+)", told)
    assert found is not None, told
    assert re.search(r"Failed requests:\s+0\n", told), told
    assert "Non-2xx" not in told, told
    return float(found[1])


def settled(service: Service) -> Counter[int]:
    """Opens in the database, by the number of their mail, once every line of the spool was taken over."""
    wait_for(lambda: not waiting(service), 300, "opens to be taken over", every=0.05)
    with service.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT delivery_id, count(*) FROM event WHERE kind = 'opened' GROUP BY 1"))
        return Counter({int(number): int(count) for number, count in rows})


def waiting(service: Service) -> int:
    """Bytes of opens that are not in the database yet."""
    files = {path.name: path.stat().st_size for path in (service.folder / SPOOL).glob("*.opens")}
    with service.database.engine.connect() as connection:
        read: dict[str, int] = dict(connection.execute(text("SELECT name, read_to FROM spool_file")).all())
    return sum(size - read.get(name, 0) for name, size in files.items())


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["tracking", *sys.argv[1:]]))
