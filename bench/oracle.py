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


class _Dialogue(asyncio.Protocol):
    def __init__(self, log: BinaryIO) -> None:
        self._log, self._buffer, self._in_body, self._recipient = log, bytearray(), False, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 oracle\r\n")

    def data_received(self, data: bytes) -> None:
        looked_at = max(0, len(self._buffer) - 4)
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n" if self._in_body else b"\r\n", looked_at)
            if end < 0:
                return
            looked_at = 0
            if self._in_body:
                self._in_body = False
                del self._buffer[: end + 5]
                self._log.write(self._recipient + b"\n")
                self._log.flush()
                self._transport.write(b"250 2.0.0 taken\r\n")
            else:
                row = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._command(row)

    def _command(self, row: bytes) -> None:
        word = row[:4].upper()
        if word == b"QUIT":
            self._transport.write(b"221 2.0.0 bye\r\n")
            self._transport.close()
            return
        if word == b"RCPT":
            self._recipient = row.partition(b"<")[2].rpartition(b">")[0]
        self._in_body = word == b"DATA"
        answers = {b"EHLO": b"250-oracle\r\n250 PIPELINING", b"DATA": b"354 go on"}
        self._transport.write(answers.get(word, b"250 2.0.0 ok") + b"\r\n")


async def _serve(log: BinaryIO) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Dialogue(log), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("ab") as file:
        asyncio.run(_serve(file))
