"""What do a million enrollments cost? Claiming what is due, planning what comes next, and a tick with nothing to do."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.people import fill
from bench.report import Target, at_least, at_most, median
from challenge.db import Database
from challenge.dispatch import beat, claim_due, tick
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.settings import Settings

BATCH = 500
_FEW = 1_000  # the other size of the idle tick: what it costs must not depend on how many people there are


def plan(folder: Path, fresh: Any, *, people: int, kinds: tuple[str, ...]) -> list[Target]:
    """Every row that is claimed or planned is committed, as the service does it."""
    print(f"\n{people:,} enrollments; claiming in batches of {BATCH}, planning in the tick's own batches\n")
    print(
        f"{'':10} {'filled in s':>12} {'claimed/s':>11} {'planned/s':>11} {'idle tick ms':>13} {'CPU ms':>7} {f'among {_FEW:,}':>12}"
    )
    targets = []
    for kind in kinds:
        few, many = _Bench(fresh(kind, "few"), _FEW), _Bench(fresh(kind, "many"), people)
        (idle_few, _), (idle, cpu) = few.idle_tick(), many.idle_tick()
        planned, claimed = many.planned(people // 50), many.claimed(people // 5)
        print(
            f"{kind:10} {many.filled_in:12.1f} {claimed:11,.0f} {planned:11,.0f} {idle:13.2f} {cpu:7.2f} {idle_few:12.2f}",
            flush=True,
        )
        for one in (few, many):
            one.database.close()
        targets += [
            at_least(f"rows claimed/s, {kind}", claimed, 20_000),
            at_most(f"idle tick among {people:,}, {kind}", idle, 2, " ms"),
        ]
    return targets


class _Bench:
    def __init__(self, url: str, people: int) -> None:
        self.database, self.challenge = Database(url), shipped()
        self.settings = Settings(secret_key="k" * 40)
        self.now = datetime.now(UTC)
        self.database.migrate()
        started = time.monotonic()
        fill(self.database, people, self.challenge.edition)
        self.filled_in = time.monotonic() - started
        beat(self.database, "bench", first=True)

    def idle_tick(self, times: int = 200) -> tuple[float, float]:
        """Milliseconds before anything is due: the median, and our CPU's share of the mean."""
        early, taken, cpu = self.now - timedelta(hours=2), list[float](), time.process_time()
        for _ in range(times):
            started = time.perf_counter()
            done = tick(self.database, self.challenge, self.settings, early)
            taken.append((time.perf_counter() - started) * 1000)
            assert (done.due, done.planned) == (0, 0)
        return median(taken), (time.process_time() - cpu) / times * 1000

    def claimed(self, rows: int) -> float:
        """Rows per second."""
        started, count = time.monotonic(), 0
        while count < rows:
            ids = claim_due(self.database, "bench", self.challenge, self.settings, self.now, BATCH)
            assert ids, "there was less due than there are people"
            count += len(ids)
        return count / (time.monotonic() - started)

    def planned(self, people: int) -> float:
        """Enrollments per second whose plan is held against their rows; then each has what it needs again."""
        with self.database.write() as session:
            session.execute(
                text("UPDATE enrollment SET plan_at = :now WHERE id <= :people"),
                {"now": _plain(self), "people": people},
            )
        started, count = time.monotonic(), 0
        while done := plan_due(self.database, self.challenge, self.now):
            count += done
        return count / (time.monotonic() - started)


def _plain(bench: _Bench) -> datetime:
    return bench.now.replace(tzinfo=None) if bench.database.is_sqlite else bench.now
