"""What if the relay is far away? 32 connections each, the relay 0, 50 and 100 ms away: ours, smtplib, smtp-source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.content import SIZE
from bench.far import far_away
from bench.ours import Service
from bench.postfix import Sink, smtp_source
from bench.report import Target, at_least

CONNECTIONS = 32
DISTANCES = (0, 50, 100)


def latency(folder: Path, fresh: Any, *, seconds: float, kinds: tuple[str, ...]) -> list[Target]:
    """Each run lasts about `seconds`, so that starting and ending weigh little."""
    print(f"\nThe relay L ms away, {CONNECTIONS} connections, 30 KB a mail: mails/s\n")
    print(f"{'L ms':>5} {'smtp-source':>12} {'smtplib':>12} " + " ".join(f"{f'ours, {kind}':>15}" for kind in kinds))
    targets = []
    for distance in DISTANCES:
        bound = CONNECTIONS / distance * 1000 if distance else 2_000.0
        few = int(seconds * (bound / 4 if distance else bound))
        source = _into_sink(distance, lambda port, mails=few: smtp_source(port, mails, SIZE, CONNECTIONS)[0])
        threads = _into_sink(distance, lambda port, mails=few: _smtplib(port, mails))
        rates = {
            kind: _ours(folder / f"{kind}{distance}", fresh, kind, distance, int(seconds * bound)) for kind in kinds
        }
        print(
            f"{distance:>5} {source:12,.1f} {threads:12,.1f} " + " ".join(f"{rate:15,.1f}" for rate in rates.values()),
            flush=True,
        )
        if distance == DISTANCES[-1]:
            for kind, rate in rates.items():
                targets.append(at_least(f"of 32 / L at {distance} ms, {kind}", rate / bound, 0.88))
                targets.append(
                    at_least(f"times the better of them at {distance} ms, {kind}", rate / max(source, threads), 3.5)
                )
    return targets


def _into_sink(distance: int, run: Any) -> float:
    sink = Sink()
    try:
        with far_away(sink.port, distance) as port:
            return float(run(port))
    finally:
        sink.close()


def _smtplib(port: int, mails: int) -> float:
    words = [sys.executable, "-m", "bench.threads", str(port), str(mails), str(CONNECTIONS), str(SIZE)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _ours(folder: Path, fresh: Any, kind: str, distance: int, mails: int) -> float:
    sink = Sink()
    try:
        with far_away(sink.port, distance) as port:
            url = f"smtp+plain://127.0.0.1:{port}"
            service = Service(folder, fresh(kind, f"far{distance}"), url, mails, connections=CONNECTIONS)
            try:
                run = service.run(lambda: sink.taken() >= mails, 900)
                seen = sink.recipients()
                assert (run.counts, len(seen)) == ({"sent": mails}, mails), "sent, owed and unique differ"
                return run.rate
            finally:
                service.close()
    finally:
        sink.close()
