"""How much memory does a run of 200,000 mails take, and is it more than one of 10,000 takes?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.ours import Service
from bench.postfix import Sink
from bench.report import Target, at_most

MB = 1e6


def memory(folder: Path, fresh: Any, *, few: int, many: int, kinds: tuple[str, ...]) -> list[Target]:
    """Peaks over the whole tree (tick, one worker, Valkey): resident pages added up, shared ones counted once, and the
    worker's alone."""
    print("\nPeak memory in MB of our tree with one worker: resident (shared pages counted per process), proportional")
    print("(counted once), and the largest process alone\n")
    print(f"{'':10} {'mails':>9} {'resident':>9} {'proportional':>13} {'largest':>9} {'mails/s':>9}")
    targets = []
    for kind in kinds:
        peaks = {}
        for mails in (few, many):
            sink = Sink()
            service = Service(folder / f"{kind}{mails}", fresh(kind, f"memory{mails}"), sink.url, mails)
            try:
                run = service.run(lambda sink=sink, mails=mails: sink.taken() >= mails, 1800)  # type: ignore[misc]
                assert run.counts == {"sent": mails}, run.counts
            finally:
                service.close()
                sink.close()
            peaks[mails] = cost = run.cost
            print(
                f"{kind:10} {mails:9,} {cost.rss / MB:9.0f} {cost.pss / MB:13.0f} {cost.largest / MB:9.0f} {run.rate:9,.0f}",
                flush=True,
            )
        grown = peaks[many].rss / peaks[few].rss
        targets.append(at_most(f"MB proportional at {many:,} mails, {kind}", peaks[many].pss / MB, 150))
        targets.append(at_most(f"MB resident at {many:,} mails, {kind}", peaks[many].rss / MB, 150))
        targets.append(at_most(f"resident at {many:,} to {few:,} mails, {kind}", grown, 1.1))
    return targets
