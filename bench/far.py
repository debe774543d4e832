"""A relay that is far away: a TCP proxy on loopback whose answers arrive L after their question.

What the client says goes through at once, what the server says waits L: so each reply arrives L after its command, and
a pipelined group costs one L. `python -m bench.far PORT MILLISECONDS` prints the port it listens on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def far_away(port: int, milliseconds: int) -> Iterator[int]:
    """The port to talk to instead of `port`; the same port when nothing is to be waited for."""
    if not milliseconds:
        yield port
        return
    proxy = subprocess.Popen(
        [sys.executable, "-m", "bench.far", str(port), str(milliseconds)], stdout=subprocess.PIPE, text=True
    )
    assert proxy.stdout is not None
    try:
        yield int(proxy.stdout.readline())
    finally:
        proxy.terminate()
        proxy.wait()
        proxy.stdout.close()


class _End(asyncio.Protocol):
    """One end of a pair: what it hears the other end says, `late` seconds later. No faster than it is read."""

    def __init__(self, late: float) -> None:
        self.late, self.early = late, deque[bytes]()
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def join(self, other: _End) -> None:
        self.other = other
        while self.early:
            self._pass_on(self.early.popleft())

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self._pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            asyncio.get_running_loop().call_later(self.late, self.other.transport.abort)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def _pass_on(self, data: bytes) -> None:
        assert self.other is not None
        assert self.other.transport is not None
        if self.late:
            asyncio.get_running_loop().call_later(self.late, self.other.transport.write, data)
        else:
            self.other.transport.write(data)


async def _serve(port: int, seconds: float) -> None:
    loop, joining = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    async def join(near: _End) -> None:
        _, far = await loop.create_connection(lambda: _End(seconds), "127.0.0.1", port)
        far.join(near)
        near.join(far)

    def met() -> _End:
        near = _End(0.0)
        task = loop.create_task(join(near))
        joining.add(task)
        task.add_done_callback(joining.discard)
        return near

    server = await loop.create_server(met, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
