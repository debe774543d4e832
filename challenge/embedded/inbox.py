"""An SMTP server for development: takes every mail and keeps it for the /inbox pages. Never used in production.

python -m challenge.embedded.inbox --port 2525 --data-dir var
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from challenge.embedded.store import Inbox
from challenge.supervisor import exit_with_parent


class Keeper:
    """Keeps what aiosmtpd receives."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        for recipient in envelope.rcpt_tos:
            self._inbox.add(envelope.mail_from, recipient, envelope.original_content)
        return "250 2.0.0 kept for you to read at /inbox"


async def serve(host: str, port: int, data_dir: Path) -> None:
    """Serves until SIGTERM or SIGINT."""
    inbox = Inbox(data_dir / "inbox.sqlite3")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(Keeper(inbox), hostname="inbox.localhost", enable_SMTPUTF8=True, timeout=600), host, port
    )
    async with server:
        await stop.wait()
    inbox.close()


def main() -> int:
    exit_with_parent()
    parser = argparse.ArgumentParser(description="The development inbox's SMTP server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port, options.data_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
