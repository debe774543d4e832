"""An SMTP server for development: takes every mail and keeps it for the /inbox pages. Never used in production.

python -m challenge.embedded.inbox --port 2525 --data-dir var
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from challenge.embedded.store import Inbox
from challenge.errors import UsageError
from challenge.supervisor import exit_with_parent, require_free_port


class Keeper:
    """Keeps what aiosmtpd receives."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        try:
            for recipient in envelope.rcpt_tos:
                self._inbox.add(envelope.mail_from, recipient, envelope.original_content)
        except sqlite3.Error as error:
            return f"451 4.3.0 the inbox cannot be written now: {error}"
        return "250 2.0.0 kept for you to read at /inbox"


async def serve(host: str, port: int, data_dir: Path) -> None:
    """Serves until SIGTERM or SIGINT. Raises UsageError: the port is in use, the directory not writable."""
    require_free_port(host, port, "CHALLENGE_INBOX_SMTP_PORT")
    try:
        inbox = Inbox(data_dir / "inbox.sqlite3")
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"The inbox cannot be kept in {data_dir} ({error}). Set CHALLENGE_DATA_DIR.") from error
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
    try:
        asyncio.run(serve(options.host, options.port, options.data_dir))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
