"""How many mails a second, at what CPU and memory? Ours against smtp-source into the same smtp-sink, in turns.

python -m bench.mail [--mails N] [--rounds N] [--dkim ,rsa,ed25519,both] [--connections N]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench.content import SIZE
from bench.ours import KINDS, Run, Service, database_urls
from bench.postfix import Sink, smtp_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dkim", default="", help="comma-separated: nothing, rsa, ed25519, both")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--connections", type=int, default=20)
    chosen = parser.parse_args()
    print(
        f"{'':24} {'mails/s':>8} {'of limit':>8} {'CPU/1000':>8} {'+server':>8} {'RSS MB':>7} {'PSS MB':>7} {'one MB':>7}"
    )
    with tempfile.TemporaryDirectory(prefix="challenge-bench-") as name, database_urls(Path(name)) as fresh:
        for number in range(chosen.rounds):
            sink = Sink()
            limit, cpu = smtp_source(sink.port, chosen.mails, SIZE)
            sink.close()
            print(f"{'smtp-source -d -s 20':24} {limit:8,.0f} {1:8.2f} {cpu:8.3f}", flush=True)
            for kind in chosen.kinds.split(","):
                for dkim in chosen.dkim.split(","):
                    run = ours(
                        fresh, Path(name), kind, f"r{number}{kind}{dkim}", dkim, chosen.mails, chosen.connections
                    )
                    show(f"ours, {kind} {dkim}", run, chosen.mails, limit)


def ours(fresh: Any, folder: Path, kind: str, name: str, dkim: str, mails: int, connections: int) -> Run:
    """One run into a fresh smtp-sink; its log must hold every address exactly once, and the ledger agree."""
    sink = Sink()
    service = Service(folder / name, fresh(kind, name), sink.url, mails, dkim=dkim, connections=connections)
    try:
        run = service.run(lambda: sink.taken() >= mails, 600)
        seen = sink.recipients()
        assert run.counts == {"sent": mails}, run.counts
        assert (sink.taken(), sum(seen.values()), len(seen)) == (mails,) * 3, "sent, owed and unique differ"
        return run
    finally:
        service.close()
        sink.close()


def show(what: str, run: Run, mails: int, limit: float) -> None:
    rate, cost = mails / run.seconds, run.cost
    print(
        f"{what:24} {rate:8,.0f} {rate / limit:8.2f} {cost.cpu / mails * 1000:8.3f} {run.server_cpu / mails * 1000:8.3f}"
        f" {cost.rss / 1e6:7.0f} {cost.pss / 1e6:7.0f} {cost.largest / 1e6:7.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
