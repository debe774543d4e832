"""A relay that knows exactly who got what: it writes an address down when it has the whole message, before it says yes.

`python -m bench.oracle LOG` prints the port it listens on. Whoever is killed before the last dot got nothing through.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from challenge.embedded.discard import serve


class Oracle:
    """The relay as a process of its own."""

    def __init__(self) -> None:
        self._log = Path(tempfile.mkstemp(prefix="oracle-")[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.oracle", str(self._log)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def url(self) -> str:
        return f"smtp+plain://127.0.0.1:{self.port}"

    def copies(self) -> Counter[str]:
        """How many copies each address got so far."""
        return Counter(self._log.read_text().split())

    def taken(self) -> int:
        return self._log.read_bytes().count(b"\n")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.unlink(missing_ok=True)


async def _serve(log: BinaryIO) -> None:
    def write_down(recipient: bytes) -> None:
        log.write(recipient + b"\n")
        log.flush()

    await serve(write_down)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("ab") as file:
        asyncio.run(_serve(file))
