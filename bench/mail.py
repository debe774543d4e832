"""How many mails a second, at what CPU and memory? Ours, the limit and the peers, in turns, into the same smtp-sink.

Everybody sends 30 KB of the same words: multipart, personal, 12 signed links and an open pixel, List-Unsubscribe. Ours
is the real service: one worker process, its tick, its Valkey, every row durable (SQLite synchronous=FULL, PostgreSQL
synchronous_commit=on). A run lasts from the moment sending is allowed until the sink has the last final dot.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from bench import theirs
from bench.content import SIZE, bundle, facts, padded
from bench.ours import Run, Service
from bench.postfix import Sink, smtp_source
from bench.report import Target, at_least, at_most, median

_CPU = {"": 0.25, "rsa": 0.6, "ed25519": 0.35}


def mail(
    folder: Path, fresh: Any, *, mails: int = 30_000, rounds: int = 2, kinds: tuple[str, ...], dkim: tuple[str, ...],
    peers: bool = True, connections: int = 20,
) -> list[Target]:  # fmt: skip
    """Prints a table as it goes; returns how the targets were met (medians over the rounds; the first of `dkim` runs in
    each round, the others once)."""
    challenge = padded(folder / "content")
    told, ours = bundle(challenge, folder / "bundle.json"), facts(challenge)
    print(
        f"\nOur day mail has {ours.shipped:,} bytes as it ships; here its words are repeated up to {ours.padded:,} bytes,"
        f" with {ours.signed} signed links.\n{mails:,} mails a run of ours, {connections} connections; the CPU of the"
        " database's server is told apart.\n"
    )
    print(f"{'':28} {'mails/s':>8} {'of limit':>8} {'CPU/1000':>8} {'+server':>8} {'RSS MB':>7} {'PSS MB':>7}")
    seen: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for kind in kinds:
            limit = _limit(mails)  # right before, for a machine with other guests is not the same a minute later
            for signed in dkim if number == 0 else dkim[:1]:
                run = _ours(fresh, folder, kind, f"r{number}_{kind}_{signed}", signed, mails, connections)
                name = f"ours, {kind}{f', {signed}' if signed else ''}"
                _show(
                    name, run.rate, limit, run.cpu_per_1000, run.server_cpu / mails * 1000, run.cost.rss, run.cost.pss
                )
                seen[f"{kind}{signed} cpu"].append(run.cpu_per_1000)
                if not signed:
                    seen[f"{kind} of limit"].append(run.rate / limit)
                    seen[f"{kind} rate"].append(run.rate)
            if peers:
                _peers(folder, told, kind, number, mails, limit, seen)
                seen["limit"].append(limit)
    if peers:
        most = median(seen["limit"])
        print(
            f"\nsmtp-source itself: {most / median(seen['post_office']):.1f} times django-post_office,"
            f" {most / median(seen['rq']):.0f} times RQ with a job per mail. No sender makes more of this sink."
        )
    return list(_targets(seen, kinds, dkim, peers))


def _limit(mails: int) -> float:
    sink = Sink()
    try:
        rate, cpu = smtp_source(sink.port, mails, SIZE)
    finally:
        sink.close()
    _show("smtp-source -d -s 20", rate, rate, cpu)
    return rate


def _ours(fresh: Any, folder: Path, kind: str, name: str, dkim: str, mails: int, connections: int) -> Run:
    """One run into a fresh smtp-sink; its log must hold every address exactly once, and the ledger agree."""
    sink = Sink()
    service = Service(folder / name, fresh(kind, name), sink.url, mails, dkim=dkim, connections=connections)
    try:
        run = service.run(lambda: sink.taken() >= mails, 900)
        seen = sink.recipients()
        assert run.counts == {"sent": mails}, run.counts
        assert (sink.taken(), sum(seen.values()), len(seen)) == (mails,) * 3, "sent, owed and unique differ"
        return run
    finally:
        service.close()
        sink.close()


def _peers(
    folder: Path, told: Path, kind: str, number: int, mails: int, limit: float, seen: dict[str, list[float]]
) -> None:
    """Fewer mails: what a mail costs them does not depend on how many there are, and they take their time."""
    for name, run, count in (
        ("django-post_office", theirs.post_office, mails // 15),
        ("RQ, a job per mail", theirs.rq, mails // 60),
    ):
        done = run(folder / f"r{number}_{kind}_{run.__name__}", told, max(100, count))
        _show(f"{name}", done.rate, limit, done.cpu_per_1000, 0.0, done.cost.rss, done.cost.pss)
        seen[run.__name__].append(done.rate)


def _targets(seen: dict[str, list[float]], kinds: tuple[str, ...], dkim: tuple[str, ...], peers: bool) -> Any:
    for kind in kinds:
        if "" in dkim:
            yield at_least(f"mails/s of smtp-source's, {kind}", median(seen[f"{kind} of limit"]), 0.5)
        if "" in dkim and peers:
            rate = median(seen[f"{kind} rate"])
            yield at_least(f"times django-post_office, {kind}", rate / median(seen["post_office"]), 12)
            yield at_least(f"times RQ with a job per mail, {kind}", rate / median(seen["rq"]), 50)
        for signed in dkim:
            if signed in _CPU:
                name = f"CPU s per 1,000 mails, {kind}{f', {signed}' if signed else ''}"
                yield at_most(name, median(seen[f"{kind}{signed} cpu"]), _CPU[signed])


def _show(
    what: str, rate: float, limit: float, cpu: float, server: float = 0.0, rss: float = 0.0, pss: float = 0.0
) -> None:
    memory = f" {rss / 1e6:7.0f} {pss / 1e6:7.0f}" if rss else ""
    print(f"{what:28} {rate:8,.0f} {rate / limit:8.3f} {cpu:8.3f} {server:8.3f}{memory}", flush=True)
