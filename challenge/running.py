"""How does all of it run on one machine? `up` and `demo` put the processes under one supervisor."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from challenge.audit import Audit, audit
from challenge.clock import Clock, real_now, set_up
from challenge.db import Database
from challenge.embedded.valkey import EmbeddedValkey
from challenge.errors import UsageError
from challenge.programme.definition import load, shipped
from challenge.rendering.message import Composer
from challenge.settings import Settings, read_settings
from challenge.stats.funnel import Funnel, funnel
from challenge.supervisor import (
    Supervisor,
    exit_with_parent,
    free_port,
    guarded,
    http_ready,
    port_ready,
    require_free_port,
)
from challenge.tracking.spool import SPOOL

DEMO_SPEED = 8640.0
DEMO_USER, DEMO_PASSWORD = "demo", "five-mornings"
Echo = Callable[[str], None]
log = logging.getLogger(__name__)


def up(settings: Settings, echo: Echo) -> int:
    """Everything at normal speed (or at the speed that was set), until Ctrl-C."""
    supervisor = Supervisor(settings.data_dir, echo)
    supervisor.hold()
    prepare(settings, waits=settings.is_warped)
    web = _add_processes(supervisor, settings)

    def tell() -> None:
        echo(f"\n  Landing page  {web}/")
        if settings.uses_inbox:
            echo(f"  Inbox         {web}/inbox")
        echo(f"  Dashboard     {web}/dashboard/   (`challenge user add NAME` makes a login)")
        echo("\nCtrl-C stops everything.\n")

    return supervisor.run_forever(tell)


def demo(echo: Echo, people: int) -> int:
    """Everything with synthetic people; starts afresh each time, in its own folder of the data directory."""
    settings = _demo_settings("demo")
    supervisor = Supervisor(settings.data_dir, echo)
    supervisor.hold()
    _start_afresh(settings.data_dir)
    prepare(settings, waits=True)
    _add_demo_user(settings)
    web = _add_processes(supervisor, settings)
    from challenge.simulate import Crowd

    crowd = Crowd(settings, web, people, echo)

    def tell() -> None:
        echo(f"\n  Landing page  {web}/")
        echo(f"  Inbox         {web}/inbox")
        echo(f"  Dashboard     {web}/dashboard/   name {DEMO_USER}, password {DEMO_PASSWORD}")
        port = "" if settings.port == Settings().port else f" CHALLENGE_PORT={settings.port}"
        told = f"CHALLENGE_DATA_DIR={settings.data_dir}{port} {Path(sys.argv[0])} stats"
        echo(f"  Commands      {told}   (or audit, preview, …)")
        echo(f"\n{people} synthetic people sign up now. A day takes about ten seconds. Ctrl-C stops everything.\n")
        crowd.start()

    try:
        return supervisor.run_forever(tell, crowd.report)
    finally:
        crowd.stop()


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal came to. `lost`: requests that the web side did not answer; `is_complete`: it ran to its end."""

    numbers: Funnel
    accounts: Audit
    lost: int
    is_complete: bool


def simulate(echo: Echo, people: int) -> Rehearsal:
    """The whole challenge from sign-up to the last mail, through the real processes; then stops them and counts.

    In its own folder of the data directory, afresh each time; no mail leaves this machine. Raises UsageError."""
    settings = _demo_settings("simulate")
    supervisor = Supervisor(settings.data_dir, echo)
    supervisor.hold()
    _start_afresh(settings.data_dir)
    prepare(settings, waits=True)
    web = _add_processes(supervisor, settings)
    from challenge.simulate import Crowd

    crowd = Crowd(settings, web, people, echo, stays=False)

    def look() -> None:
        crowd.report()
        if crowd.is_over:
            supervisor.finish()

    try:
        supervisor.run_forever(crowd.start, look)
    finally:
        crowd.stop()
    challenge = load(Path(settings.content)) if settings.content else shipped()
    database = Database(settings.database)
    now = Clock(database).now()
    with database.read() as session:
        numbers = funnel(session, challenge.slug, challenge.length, now)
        accounts = audit(session, challenge, settings, now)
    database.close()
    return Rehearsal(numbers, accounts, crowd.lost, crowd.is_over)


def work(settings: Settings) -> int:
    """The workers and the tick alone."""
    import worker

    exit_with_parent()
    return worker.run(settings, load(Path(settings.content)) if settings.content else shipped())


def prepare(settings: Settings, *, waits: bool = False) -> None:
    """Migrates, makes the clock, and says in the log what a human should know."""
    challenge = load(Path(settings.content)) if settings.content else shipped()
    if not challenge.reviewed_by:
        log.warning(
            "No clinician has reviewed the exercises; production sends no day mail before.",
            extra={"action": "not_reviewed"},
        )
    Composer(settings, challenge).templates.check()
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        set_up(session, settings, waits=waits)
    database.close()


def _add_processes(supervisor: Supervisor, settings: Settings) -> str:
    """Valkey and inbox where none were set, web, workers; returns the web side's address."""
    require_free_port(settings.host, settings.port)
    port = settings.port or free_port(settings.host)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    web = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    common = {"CHALLENGE_PORT": str(port), "CHALLENGE_DATA_DIR": str(settings.data_dir), "PYTHONUNBUFFERED": "1"}
    common["CHALLENGE_BASE_URL"] = settings.base_url or web
    common["CHALLENGE_REDIS_URL"] = settings.redis_url or _add_valkey(supervisor, settings)
    smtp_url = settings.smtp_url or _add_inbox(supervisor, settings, common)
    python = (sys.executable, "-m")
    supervisor.add("web", (*python, "challenge.web.serve"), common, ready=lambda: http_ready(f"{web}/healthz"))
    supervisor.add(
        "worker", (*python, "challenge.cli", "worker"), common | {"CHALLENGE_SMTP_URL": smtp_url}, stop_seconds=40.0
    )
    return web


def _add_valkey(supervisor: Supervisor, settings: Settings) -> str:
    valkey = EmbeddedValkey(settings.data_dir)
    supervisor.add("valkey", guarded(valkey.argv()), ready=valkey.is_ready)
    return valkey.url


def _add_inbox(supervisor: Supervisor, settings: Settings, common: dict[str, str]) -> str:
    port = settings.inbox_smtp_port
    require_free_port("127.0.0.1", port, "CHALLENGE_INBOX_SMTP_PORT")
    port = port or free_port()
    argv = (sys.executable, "-m", "challenge.embedded.inbox", "--port", str(port), "--data-dir", str(settings.data_dir))
    supervisor.add("inbox", argv, common, ready=lambda: port_ready("127.0.0.1", port))
    return f"smtp+plain://127.0.0.1:{port}"


def _demo_settings(folder: str) -> Settings:
    """A demo or a rehearsal never touches what `up` uses, and never a real relay."""
    base = read_settings()
    if base.is_production:
        raise UsageError(
            "CHALLENGE_ENV=production: demo and rehearsal are for development: run them with CHALLENGE_ENV=development."
        )
    for name in ("SMTP_URL", "DATABASE_URL", "REDIS_URL"):
        if os.environ.pop(f"CHALLENGE_{name}", None) or os.environ.pop(name, None):
            log.warning("Demo and rehearsal do not use this setting.", extra={"variable": name})
        os.environ[f"CHALLENGE_{name}"] = ""
    os.environ["CHALLENGE_DATA_DIR"] = str(base.data_dir / folder)
    os.environ.setdefault("CHALLENGE_CONVERSION_SECRET", secrets.token_hex(16))  # for who joins the programme
    os.environ.setdefault("CHALLENGE_CLOCK_SPEED", str(DEMO_SPEED))
    if base.clock_start is None:
        midnight = real_now().replace(hour=0, minute=0, second=0, microsecond=0)
        os.environ["CHALLENGE_CLOCK_START"] = (midnight + timedelta(hours=6)).isoformat()
    os.environ["CHALLENGE_SIGNUP_RATE"] = ""
    return read_settings()


def _start_afresh(folder: Path) -> None:
    for path in folder.glob("*.sqlite3*"):
        path.unlink()
    for name in ("valkey", SPOOL):
        shutil.rmtree(folder / name, ignore_errors=True)


def _add_demo_user(settings: Settings) -> None:
    from challenge.access.users import add_user

    database = Database(settings.database)
    add_user(database, DEMO_USER, DEMO_PASSWORD, replace=True)
    database.close()
