"""Whoever sends half a request holds up nobody's page: real sockets, a real granian with four threads."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from challenge.supervisor import free_port

HEAD = b"POST /api/v1/signups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n{"
SERVER = """
import sys
from granian import Granian
from granian.constants import Interfaces
Granian("tests.integration.web.test_bodies:make_small_app", factory=True, address="127.0.0.1", port=int(sys.argv[1]),
        interface=Interfaces.WSGI, workers=1, blocking_threads=4, websockets=False).serve()
"""


def make_small_app() -> object:
    from challenge.clock import set_up
    from challenge.db import Database
    from challenge.programme.definition import shipped
    from challenge.settings import read_settings
    from challenge.web import create_app
    from challenge.web.bodies import Bodies

    settings = read_settings()
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        set_up(session, settings)
    app = create_app(settings, shipped())
    app.wsgi_app = Bodies(app.wsgi_app, 4)  # type: ignore[method-assign]
    return app


class Served:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str | None]:
        line = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            answer.read()
            return answer.status, answer.headers["Retry-After"]
        finally:
            line.close()

    def join(self, email: str) -> tuple[int, str | None]:
        body = f'{{"email": "{email}"}}'.encode()
        return self.ask("POST", "/api/v1/signups", body, **{"Content-Type": "application/json"})

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stall(self) -> socket.socket:
        line = self.line()
        line.sendall(HEAD)
        return line


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_SIGNUP_RATE": ""}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)],
        env=environ,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = Served(port)
        for _ in range(300):
            try:
                found.ask("GET", "/healthz")
                break
            except OSError:
                time.sleep(0.1)
        yield found
    finally:
        server.terminate()
        server.wait(20)


def test_half_requests_hold_up_no_page(served: Served) -> None:
    assert served.join("ana@example.com") == (202, None)
    with ExitStack() as open_lines:
        lines = [open_lines.enter_context(served.stall()) for _ in range(20)]
        time.sleep(0.5)
        started = time.monotonic()
        for path in ("/healthz", "/", "/o/x.gif"):
            assert served.ask("GET", path)[0] == 200
        assert served.join("ben@example.com") == (503, "5")
        assert time.monotonic() - started < 10  # nobody was waited for
        waiting, _, _ = select.select(lines, [], [], 5)
        assert [line.recv(12) for line in waiting] == [b"HTTP/1.1 503"] * 18
    for _ in range(50):  # until the server has seen that they are gone
        time.sleep(0.1)
        if served.join("ben@example.com")[0] == 202:
            break
    else:
        pytest.fail("no form is taken again")


def test_it_takes_whole_and_refuses_short_and_endless_ones(served: Served) -> None:
    assert served.ask("POST", "/api/v1/signups", b"x" * 300_000, **{"Content-Type": "application/json"})[0] == 413
    assert served.ask("POST", "/api/v1/signups", b"", **{"Content-Type": "application/json"})[0] == 400
    with served.stall() as line:
        line.shutdown(socket.SHUT_WR)
        assert line.recv(12) in (b"HTTP/1.1 400", b"")
    with ExitStack() as open_lines:
        looks = [open_lines.enter_context(served.line()) for _ in range(8)]
        for look in looks:
            look.sendall(HEAD.replace(b"POST /api/v1/signups", b"GET /"))
        assert [look.recv(12) for look in looks] == [b"HTTP/1.1 200"] * 8
    assert served.join("ana@example.com") == (202, None)
