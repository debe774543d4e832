"""Everything that is claimed about speed, memory and crashes, measured: `python -m bench [PART ...] [--quick]`.

    mail      ours against smtp-source, django-post_office and RQ with a job per mail, with and without DKIM

Needs Linux, Postfix's smtp-source and smtp-sink (Debian: apt-get install postfix) and the development dependencies.
The peers are installed into bench/.peers by the command itself. Figures go to standard output; bench/README.md holds
those of one machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.mail import mail
from bench.ours import DKIM, KINDS, database_urls
from bench.report import Target, machine, show

PARTS = ("mail",)


def main() -> int:
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
    parser.add_argument("--no-peers", action="store_true", help="`mail` without django-post_office and RQ")
    chosen = parser.parse_args()
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
        if "mail" in parts:
            (folder / "mail").mkdir()
            targets += mail(
                folder / "mail", fresh,
                mails=chosen.mails or (3_000 if chosen.quick else 30_000),
                rounds=chosen.rounds or (1 if chosen.quick else 2),
                kinds=kinds, dkim=dkim, peers=not chosen.no_peers, connections=chosen.connections,
            )  # fmt: skip
    show(targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
