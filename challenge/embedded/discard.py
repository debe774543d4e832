"""Where do mails go that nobody must get? To a small SMTP server on loopback that takes everything and keeps nothing.

`python -m challenge.embedded.discard` prints the port it listens on; `challenge bench` starts it in a process of its
own, so that it takes no turn from the sender.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from challenge.supervisor import Leash, exit_with_parent

_ANSWERS = {
    b"EHLO": b"250-sink.localhost\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_YES = b"250 2.0.0 ok\r\n"


@contextmanager
def discarding() -> Iterator[int]:
    """The port of such a server; it ends with the block, or with this process."""
    leash = Leash()
    server = subprocess.Popen(
        [sys.executable, "-m", "challenge.embedded.discard"],
        stdout=subprocess.PIPE,
        env=os.environ | leash.environment(),
        pass_fds=(leash.read_fd,),
    )
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
        leash.close()


class Dialogue(asyncio.Protocol):
    """One connection. `taken` is told the recipient of each whole message before the client is told yes."""

    def __init__(self, taken: Callable[[bytes], None] = lambda _recipient: None) -> None:
        self._taken, self._buffer, self._in_body, self._recipient = taken, bytearray(), False, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.localhost\r\n")

    def data_received(self, data: bytes) -> None:
        look_from = max(0, len(self._buffer) - 4)
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n" if self._in_body else b"\r\n", look_from)
            if end < 0:
                return
            look_from = 0
            if self._in_body:
                del self._buffer[: end + 5]
                self._in_body = False
                self._taken(self._recipient)
                self._transport.write(_YES)
            else:
                row = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._answer(row)

    def _answer(self, row: bytes) -> None:
        word = row[:4].upper()
        if word == b"RCPT":
            self._recipient = row.partition(b"<")[2].rpartition(b">")[0]
        self._in_body = word == b"DATA"
        self._transport.write(_ANSWERS.get(word, _YES))
        if word == b"QUIT":
            self._transport.close()


async def serve(taken: Callable[[bytes], None] = lambda _recipient: None) -> None:
    """Listens on a free port of loopback and prints it."""
    server = await asyncio.get_running_loop().create_server(lambda: Dialogue(taken), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    exit_with_parent()
    asyncio.run(serve())
