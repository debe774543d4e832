"""How much memory does a run of 200,000 mails take, and is it more than one of 10,000 takes?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.measure import Cost, Watch
from bench.ours import Service
from bench.postfix import Sink
from bench.report import Target, at_most

MB = 1e6
_TOGETHER = 2


def memory(folder: Path, fresh: Any, *, few: int, many: int, kinds: tuple[str, ...]) -> list[Target]:
    """Peaks over the sending tree, `challenge worker` and what it starts (its tick and its workers; Redis and the database
    are servers beside it): resident pages added up, shared ones counted once, and the largest process alone."""
    print("\nPeak memory in MB of the sending tree (the tick and its workers): resident (shared pages counted in each")
    print("process), proportional (counted once), and the largest process alone\n")
    head = ("", "mails", "workers", "resident", "proportional", "largest", "a worker", "mails/s")
    print("{:10} {:>9} {:>8} {:>9} {:>13} {:>8} {:>9} {:>8}".format(*head))
    targets = []
    for kind in kinds:
        peaks = {
            (mails, workers): _peak(folder, fresh, kind, mails, workers)
            for mails, workers in ((few, 1), (many, 1), (many, _TOGETHER))
        }
        one = peaks[many, 1]
        targets.append(at_most(f"MB proportional at {many:,} mails, {kind}", one.pss / MB, 150))
        targets.append(at_most(f"MB resident at {many:,} mails, {kind}", one.rss / MB, 150))
        a_worker = peaks[many, _TOGETHER].rss / _TOGETHER / MB
        targets.append(at_most(f"MB resident for each of {_TOGETHER} workers, {kind}", a_worker, 150))
        targets.append(at_most(f"resident at {many:,} to {few:,} mails, {kind}", one.rss / peaks[few, 1].rss, 1.1))
    return targets


def _peak(folder: Path, fresh: Any, kind: str, mails: int, workers: int) -> Cost:
    name = f"memory{mails}x{workers}"
    sink = Sink()
    service = Service(folder / f"{kind}{name}", fresh(kind, name), sink.url, mails, workers=workers)
    try:
        with Watch(service.process.pid) as watch:
            run = service.run(lambda: sink.taken() >= mails, 1800)
        assert run.counts == {"sent": mails}, run.counts
    finally:
        service.close()
        sink.close()
    rss, pss, largest = watch.cost.rss / MB, watch.cost.pss / MB, watch.cost.largest / MB
    print(
        f"{kind:10} {mails:9,} {workers:8} {rss:9.0f} {pss:13.0f} {largest:8.0f} {rss / workers:9.0f} {run.rate:8,.0f}",
        flush=True,
    )
    return watch.cost
