"""A relay that is far away: a TCP proxy on loopback whose answers arrive L after their question.

What the client says goes through at once, what the server says waits L: so each reply arrives L after its command, and
a pipelined group costs one L. `python -m bench.far PORT MILLISECONDS` prints the port it listens on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


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


async def _serve(port: int, seconds: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(_pass_on(reader, below), _pass_on_late(above, writer, seconds))
        for one in (writer, below):
            one.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _pass_on_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Everything keeps its order and its own delay."""
    loop, late = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def deliver() -> None:
        while True:
            at, data = await late.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)

    delivering = asyncio.create_task(deliver())
    while data := await reader.read(1 << 16):
        late.put_nowait((loop.time() + seconds, data))
    late.put_nowait((loop.time() + seconds, b""))
    await delivering


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
