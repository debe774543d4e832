"""Everything that is claimed about speed, memory and crashes, measured: `python -m bench [PART ...] [--quick]`.

    mail      ours against smtp-source, django-post_office and RQ with a job per mail, with and without DKIM
    latency   32 connections to a relay 0, 50 and 100 ms away: ours, smtplib, smtp-source
    memory    the peak of our sending tree at 10,000 and at 200,000 mails, with one worker and with two
    kill      kill -9 of workers during a run, beside the peers'; of web, workers, Valkey and PostgreSQL at random
    plan      claiming, planning and an idle tick among 1,000,000 enrollments
    tracking  opens beside nginx serving the same picture; among mails and a dashboard; while the web process is killed

Needs Linux, Postfix's smtp-source and smtp-sink (Debian: apt-get install postfix), for `tracking` nginx and ab (nginx,
apache2-utils), and the development dependencies.
The peers are installed into bench/.peers by the command itself. Figures go to standard output; bench/README.md holds
those of one machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.kill import kill
from bench.latency import latency
from bench.mail import mail
from bench.memory import memory
from bench.ours import DKIM, KINDS, database_urls
from bench.plan import plan
from bench.report import Target, machine, show
from bench.tracking import tracking

PARTS = ("mail", "latency", "memory", "plan", "tracking", "kill")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", help=f"which parts: {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="a tenth of the mails, one round: to see that it runs")
    parser.add_argument("--mails", type=int, help="mails in a run of ours")
    parser.add_argument("--rounds", type=int, help="how often each contender runs")
    parser.add_argument("--databases", default=",".join(KINDS), help="default: %(default)s")
    parser.add_argument("--dkim", help="comma-separated of none, rsa, ed25519, both; default: none,rsa,ed25519")
    parser.add_argument("--connections", type=int, default=20, help="SMTP connections of our worker in `mail`")
    parser.add_argument("--kills", type=int, help="how often `kill` kills anything at random, for each database")
    parser.add_argument("--no-peers", action="store_true", help="`mail` and `kill` without django-post_office and RQ")
    chosen = parser.parse_args(words)
    parts = chosen.part or PARTS
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; there are: {', '.join(PARTS)}")
    kinds = tuple(chosen.databases.split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"there is no database {unknown[0]}; there are: {', '.join(KINDS)}")
    dkim = tuple("" if word == "none" else word for word in (chosen.dkim or "none,rsa,ed25519").split(","))
    if unknown := [word for word in dkim if word not in DKIM]:
        parser.error(f"there is no DKIM key {unknown[0]}; there are: none, rsa, ed25519, both")
    print(machine())
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="challenge-bench-") as name, database_urls(Path(name)) as fresh:
        folder = Path(name)
        for part in parts:
            place = folder / part
            place.mkdir()
            targets += _run(part, place, fresh, chosen, kinds, dkim)
    show(targets)
    return 0


def _run(
    part: str, folder: Path, fresh: Any, chosen: argparse.Namespace, kinds: tuple[str, ...], dkim: tuple[str, ...]
) -> list[Target]:
    quick = chosen.quick
    if part == "mail":
        return mail(
            folder, fresh, mails=chosen.mails or (3_000 if quick else 30_000), rounds=chosen.rounds or (1 if quick else 2),
            kinds=kinds, dkim=dkim, peers=not chosen.no_peers, connections=chosen.connections,
        )  # fmt: skip
    if part == "latency":
        return latency(folder, fresh, seconds=4 if quick else 20, kinds=kinds)
    if part == "memory":
        few, many = (1_000, 10_000) if quick else (10_000, 200_000)
        return memory(folder, fresh, few=few, many=many, kinds=kinds)
    if part == "kill":
        return kill(
            folder, fresh, mails=chosen.mails or (2_000 if quick else 20_000), worker_kills=5 if quick else 20,
            kills=chosen.kills or (10 if quick else 100), people=100 if quick else 500, kinds=kinds, peers=not chosen.no_peers,
        )  # fmt: skip
    if part == "tracking":
        opens, burst, people = (3_000, 10_000, 3_000) if quick else (20_000, 100_000, 20_000)
        return tracking(folder, fresh, opens=opens, burst=burst, people=people, kinds=kinds)
    return plan(folder, fresh, people=50_000 if quick else 1_000_000, kinds=kinds)


if __name__ == "__main__":
    sys.exit(main())
