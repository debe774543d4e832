from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from challenge.errors import UsageError
from challenge.supervisor import LOG_BYTES, Supervisor, free_port, http_ready, port_ready, require_free_port

pytestmark = pytest.mark.integration

PROGRAM = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else a gate that runs under nohup hands down that it is ignored
from challenge.errors import UsageError
from challenge.supervisor import Supervisor, guarded
home = Path(sys.argv[1])
supervisor = Supervisor(home, lambda sentence: print(sentence, flush=True))
for name, code, more in json.loads(sys.argv[2]):
    argv = (sys.executable, "-c", code, str(home / name))
    marker = home / name
    ready = marker.exists if more.get("ready", True) else None
    supervisor.add(name, guarded(argv) if more.get("guarded") else argv, None, ready, more.get("stop_seconds", 10))
try:
    sys.exit(supervisor.run_forever(lambda: print("READY", flush=True)))
except UsageError as error:
    print(error, flush=True)
    sys.exit(2)
"""
_START = "import os, signal, sys, time; from pathlib import Path\n"
_SAY = "Path(sys.argv[1]).write_text(str(os.getpid()))\n"
LEASHED = (
    "from challenge.supervisor import exit_with_parent; exit_with_parent(1.0)\n" + _START + _SAY + "time.sleep(60)"
)
FOREIGN = _START + _SAY + "time.sleep(60)"
STUBBORN = _START + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + _SAY + "time.sleep(60)"
STUBBORN_LEASHED = "from challenge.supervisor import exit_with_parent; exit_with_parent(0.5)\n" + STUBBORN
FORKING = (
    "from challenge.supervisor import exit_with_parent; exit_with_parent(0.5)\n"
    + _START
    + "if os.fork() == 0:\n    os.setpgrp()\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + "    Path(sys.argv[1] + '.horse').write_text(str(os.getpid()))\n    time.sleep(60)\n"
    + _SAY
    + "time.sleep(60)"
)


class Run:
    """A supervisor in a process of its own, and what it said."""

    def __init__(self, home: Path, *children: tuple[str, str, dict[str, Any]]) -> None:
        self.home, self.lines = home, list[str]()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home), json.dumps(children)], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in iter(self.process.stdout.readline, ""))

    def said(self, words: str) -> bool:
        return any(words in line for line in list(self.lines))

    def pid(self, name: str) -> int:
        wait_until(lambda: (self.home / name).exists() and (self.home / name).read_text() != "")
        return int((self.home / name).read_text())

    def end(self, seconds: float = 15.0) -> int:
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts supervisors; whatever a failing test leaves behind is ended by its pid."""
    runs: list[Run] = []

    def starter(*children: tuple[str, str, dict[str, Any]], wait: bool = True) -> Run:
        run = Run(tmp_path, *children)
        runs.append(run)
        if wait:
            wait_until(lambda: run.said("READY"))
        return run

    yield starter
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.end()
    wait_until(lambda: not any(is_running(int(p.read_text() or 0)) for p in pid_files(tmp_path)), 15)


def pid_files(home: Path) -> list[Path]:
    return [path for path in home.iterdir() if path.is_file() and path.name != "supervisor.lock"]


def wait_until(claim: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """A zombie that nobody waits for has ended too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stops_its_children_in_reverse_order(start: Callable[..., Run], number: int) -> None:
    run = start(("first", LEASHED, {}), ("second", FOREIGN, {"guarded": True}))
    pids = [run.pid("first"), run.pid("second")]
    run.process.send_signal(number)
    assert run.end() == 0
    assert run.lines[-1] == "Stopped: second, first."
    assert not any(map(is_running, pids))


def test_it_starts_a_dead_child_again_and_says_so(start: Callable[..., Run]) -> None:
    run = start(("web", LEASHED, {}))
    before = run.pid("web")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: run.pid("web") != before)
    assert run.said("web was killed (SIGKILL). Starting it again in 0.5 s; log: ")
    assert run.process.poll() is None


def test_it_waits_longer_each_time_a_child_dies(start: Callable[..., Run]) -> None:
    run = start(("web", _START + "print('no luck')\nsys.exit(3)", {"ready": False}))
    wait_until(lambda: run.said("web ended (exit 3): no luck. Starting it again in 0.5 s"))
    wait_until(lambda: run.said("web ended (exit 3): no luck. Starting it again in 1 s"))


def test_it_tells_the_last_words_of_a_child_that_does_not_come_up(start: Callable[..., Run]) -> None:
    run = start(
        ("first", LEASHED, {}), ("web", _START + "[print('line', n) for n in range(30)]\nsys.exit(3)", {}), wait=False
    )
    assert run.end() == 1
    assert "web ended (exit 3) before it was ready, so nothing was started. Its last words:" in run.lines
    assert [line for line in run.lines if line.startswith("  | ")] == [f"  | line {n}" for n in range(10, 30)]
    assert run.lines[-1] == "Stopped: first."
    assert not run.said("READY")
    assert not is_running(run.pid("first"))


def test_it_names_a_program_that_is_not_there(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)
    supervisor.add("web", ["/no/such/program"])
    assert supervisor.run_forever(lambda: said.append("READY")) == 1
    assert said == ["web cannot be started: No such file or directory (/no/such/program)."]


def test_it_kills_what_does_not_stop_in_time(start: Callable[..., Run]) -> None:
    run = start(("worker", STUBBORN, {"stop_seconds": 0.3}))
    pid = run.pid("worker")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 0
    assert run.lines[-2:] == ["worker did not stop within 0.3 s and was killed.", "Stopped: worker."]
    assert not is_running(pid)


def test_it_kills_at_once_on_a_second_ctrl_c(start: Callable[..., Run]) -> None:
    run = start(("worker", STUBBORN, {"stop_seconds": 60}))
    pid = run.pid("worker")
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    assert is_running(pid)
    run.process.send_signal(signal.SIGINT)
    assert run.end(5) == 0
    assert not is_running(pid)


def test_it_takes_one_ctrl_c_that_arrives_twice_for_one(start: Callable[..., Run]) -> None:
    slow = _START + "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))\n" + _SAY + "time.sleep(60)"
    run = start(("worker", slow, {}))
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0
    assert time.monotonic() - began > 0.5, "the worker was not let finish"


def test_it_leaves_no_orphan_when_it_is_killed(start: Callable[..., Run]) -> None:
    run = start(
        ("leashed", LEASHED, {}),
        ("foreign", FOREIGN, {"guarded": True}),
        ("stubborn", STUBBORN_LEASHED, {}),
        ("forking", FORKING, {}),
    )
    names = ("leashed", "foreign", "stubborn", "forking", "forking.horse")
    pids = [run.pid(name) for name in names]
    assert all(map(is_running, pids))
    run.process.kill()
    wait_until(lambda: not any(map(is_running, pids)))


def test_it_refuses_a_data_dir_that_another_holds(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(("web", LEASHED, {}))
    with pytest.raises(UsageError, match=rf"already running \(pid {run.process.pid}\)"):
        Supervisor(tmp_path, print).hold()


def test_it_waits_for_the_children_of_a_run_that_was_cut_off(start: Callable[..., Run]) -> None:
    first = start(("web", STUBBORN_LEASHED, {}))
    before = first.pid("web")
    first.process.kill()
    first.end()
    second = start(("web", LEASHED, {}), wait=False)
    wait_until(lambda: second.said("READY"))
    assert second.lines[0] == "The last run was cut off; waiting for its processes to end ..."
    assert not is_running(before)


def test_it_refuses_a_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="CHALLENGE_DATA_DIR"):
        Supervisor(tmp_path / "file", print).hold()


def test_it_puts_a_long_log_aside(start: Callable[..., Run], tmp_path: Path) -> None:
    log = tmp_path / "logs" / "web.log"
    log.parent.mkdir()
    with log.open("wb") as old:
        old.truncate(LOG_BYTES + 1)
    start(("web", LEASHED, {}))
    assert log.stat().st_size < 1000
    assert (tmp_path / "logs" / "web.log.1").stat().st_size == LOG_BYTES + 1


def test_it_names_the_variable_of_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert port_ready("127.0.0.1", port)
        with pytest.raises(UsageError, match=f"Port {port} on 127.0.0.1 is in use.*CHALLENGE_PORT"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", free_port())
    assert not port_ready("127.0.0.1", port)


def test_it_names_the_variable_of_a_host_that_is_not_here() -> None:
    with pytest.raises(UsageError, match="CHALLENGE_HOST"):
        require_free_port("192.0.2.1", 8000)


def test_it_takes_only_a_good_answer_for_ready() -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/good" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    assert http_ready(f"{address}/good")
    assert not http_ready(f"{address}/bad")
    server.shutdown()
    thread.join()
    server.server_close()
    assert not http_ready(f"{address}/good")
