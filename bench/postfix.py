"""Postfix's own test programs: `smtp-source`, the fastest sender there is, and `smtp-sink`, which takes everything.

`smtp-sink -v` writes down every command, and is not slower for it: its log is what the counts are made of.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from bench.measure import cpu_of, wait_for

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix"))
_TAKEN = b"smtp-sink: .\n"
_NAMED = re.compile(rb"(?i)smtp-sink: RCPT TO:<([^>]*)>")


def program(name: str, package: str = "postfix") -> str:
    """Its path. Ends the run with a sentence when it is not installed."""
    found = shutil.which(name, path=_PLACES)
    if found is None:
        sys.exit(f"{name} is not installed: apt-get install {package} (Debian, Ubuntu).")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sink:
    """One smtp-sink with an empty log."""

    def __init__(self) -> None:
        self.port = free_port()
        self._log = Path(tempfile.mkstemp(prefix="smtp-sink-")[1])
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program("smtp-sink"), *user, "-v", "-4", f"127.0.0.1:{self.port}", "1000"], stderr=log, stdout=log
            )
        self._read_up_to, self._count, self._rest = 0, 0, b""
        wait_for(self._listens, 10, "smtp-sink")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"smtp+plain://127.0.0.1:{self.port}"

    def taken(self) -> int:
        """Messages taken so far: final dots in the log."""
        with self._log.open("rb") as log:
            log.seek(self._read_up_to)
            new = log.read()
        self._read_up_to += len(new)
        text = self._rest + new
        self._count += text.count(_TAKEN)
        self._rest = text[-(len(_TAKEN) - 1) :] if not text.endswith(_TAKEN) else b""
        return self._count

    def recipients(self) -> Counter[str]:
        """How often each address was named at RCPT."""
        return Counter(address.decode() for address in _NAMED.findall(self._log.read_bytes()))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.unlink(missing_ok=True)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def smtp_source(port: int, mails: int, size: int, lines: int = 20) -> tuple[float, float]:
    """(mails per second, CPU seconds per 1,000) of `smtp-source -d` with content it makes itself."""
    words = [program("smtp-source"), "-d", "-s", str(lines), "-m", str(mails), "-l", str(size)]
    before, started = _children_cpu(), time.monotonic()
    subprocess.run([*words, "-f", "from@a.example", "-t", "to@b.example", f"127.0.0.1:{port}"], check=True)
    seconds = time.monotonic() - started
    return mails / seconds, (_children_cpu() - before) / mails * 1000


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


__all__ = ["Sink", "cpu_of", "free_port", "program", "smtp_source"]
