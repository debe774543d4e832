from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from challenge.embedded.store import Inbox
from challenge.embedded.valkey import EmbeddedValkey
from challenge.supervisor import free_port, port_ready

pytestmark = pytest.mark.integration
MAIL = b"From: a@b.example\r\nSubject: Day 1\r\nX-Challenge-Mail: day-1\r\n\r\n..a dot\r\nend\r\n"


def wait_until(claim: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "a b%c#d")
    server.start()
    yield server
    server.stop()


def test_it_keeps_the_queue_over_a_restart(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        Queue("mail", connection=client, serializer=JSONSerializer).enqueue("builtins.print", 1)
    valkey.stop()
    assert not valkey.is_ready()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert len(Queue("mail", connection=client, serializer=JSONSerializer)) == 1


def test_it_opens_no_port_and_appends_every_second(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_it_ends_the_server_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time, redis; from pathlib import Path; from challenge.embedded.valkey import EmbeddedValkey\n"
        "server = EmbeddedValkey(Path(sys.argv[1])); server.start()\n"
        "print(redis.Redis.from_url(server.url).info('server')['process_id'], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_running(pid)
        owner.kill()
    wait_until(lambda: not is_running(pid))


@pytest.fixture
def inbox_port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    with subprocess.Popen(inbox_command(port, tmp_path)) as process:
        wait_until(lambda: port_ready("127.0.0.1", port))
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def inbox_command(port: int, data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "challenge.embedded.inbox", "--port", str(port), "--data-dir", str(data_dir)]


def send(port: int, count: int, recipients: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for _ in range(count):
            client.sendmail("bounce@x.example", recipients, MAIL)


def test_it_receives_each_byte_for_each_recipient(inbox_port: int, tmp_path: Path) -> None:
    send(inbox_port, 1, ["a@x.example", "b@x.example"])
    inbox = Inbox(tmp_path / "inbox.sqlite3")
    assert [(mail.recipient, mail.raw) for mail in inbox.since(0)] == [("a@x.example", MAIL), ("b@x.example", MAIL)]
    assert inbox.newest(limit=1)[0].key == "day-1"
    inbox.close()


def test_it_loses_no_mail_of_many_connections(inbox_port: int, tmp_path: Path) -> None:
    senders = [threading.Thread(target=send, args=(inbox_port, 20, [f"p{n}@x.example"])) for n in range(10)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    inbox = Inbox(tmp_path / "inbox.sqlite3")
    assert [len(inbox.mails_for(f"p{n}@x.example")) for n in range(10)] == [20] * 10
    inbox.close()


def test_it_says_that_the_port_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = inbox_command(other.getsockname()[1], tmp_path)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "CHALLENGE_INBOX_SMTP_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_says_that_the_data_dir_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = inbox_command(free_port(), tmp_path / "file")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "CHALLENGE_DATA_DIR" in ended.stderr
    assert "Traceback" not in ended.stderr


def is_running(pid: int) -> bool:
    """A zombie that nobody waits for has ended too; any process may go while we look."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
