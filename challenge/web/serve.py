"""Runs the web side under granian: `challenge web`, and what the supervisor starts."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

from challenge.db import Database
from challenge.errors import ChallengeError, SettingsError
from challenge.programme.definition import load, shipped
from challenge.settings import Settings, read_settings
from challenge.supervisor import exit_with_parent
from challenge.tracking.spool import SPOOL, Drain
from challenge.web import Service, create_app
from challenge.web.bodies import Bodies

BLOCKING_THREADS = 16  # opens that come in together share a sync of the disk
SWITCH_SECONDS = 0.001  # so long an answer waits for a page that computes


def serve(settings: Settings) -> None:
    """Serves until SIGTERM. Raises SettingsError, SchemaBehind, UsageError."""
    if not settings.redis_url:
        raise SettingsError(
            "CHALLENGE_REDIS_URL", "is needed to run the web side alone; `challenge up` brings its own."
        )
    database = Database(settings.database)
    database.require_current()
    Drain(database, settings.data_dir / SPOOL).close()
    database.close()
    Granian(
        "challenge.web.serve:make_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=BLOCKING_THREADS,
        backlog=1024,
        log_access=False,
        websockets=False,
    ).serve()


def make_app() -> Flask:
    """What each granian worker loads: settings come through the environment."""
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = read_settings()
    app = create_app(settings, load(Path(settings.content)) if settings.content else shipped())
    found: Service = app.extensions["challenge"]
    drain = Drain(found.database, settings.data_dir / SPOOL)
    threading.Thread(target=drain.run, args=(found.opens, threading.main_thread()), name="opens").start()
    app.wsgi_app = Bodies(app.wsgi_app, BLOCKING_THREADS)  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()  # what stays is not looked through again: each look took 0.1 s, and every answer waited for it
    return app


def main() -> int:
    exit_with_parent()
    try:
        serve(read_settings())
    except ChallengeError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
