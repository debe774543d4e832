"""How well are bounces understood? `python -m bench.bounces`: ours and flufl.bounce side by side, on two public sample sets.

The sets are fetched, never kept here: the tests of Debian's libmail-deliverystatus-bounceparser-perl, from which our rules
were written, and those of flufl.bounce, on which they are measured. `bounces.toml` says what a person read in each mail.
A mail is recognised when a bounce or a delay is reported; hard or soft counts over the recognised ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bench.peers import environment
from challenge.inbound import reasons
from challenge.inbound.parse import understood
from challenge.inbound.report import Hardness, ReportKind

_HERE = Path(__file__).parent
_FLUFL = "flufl.bounce==6.0.0"
_DEBIAN = "libmail-deliverystatus-bounceparser-perl"
_ROUNDS = 5


@dataclass(frozen=True)
class Corpus:
    """Mails by name, and what a person read in each: hard, soft, delayed or none."""

    title: str
    mails: dict[str, Path]
    labels: dict[str, str]


@dataclass(frozen=True)
class Answers:
    """What one parser said: name -> hard, soft or none; and how many mails a second of CPU."""

    said: dict[str, str]
    rate: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bounces", description=__doc__)
    parser.add_argument("--perl", type=Path, help="the unpacked Debian source; fetched with apt-get when not given")
    parser.add_argument("--flufl", type=Path, help="the unpacked flufl.bounce source; fetched with pip when not given")
    parser.add_argument("--wrong", action="store_true", help="name the mails that ours takes for something else")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpora = [
            _corpus("perl", "written from: Debian's Perl parser", chosen.perl or _debian(folder), "t/corpus/*.msg"),
            _corpus("flufl", "measured on: flufl.bounce", chosen.flufl or _flufl(folder), "tests/data/*.txt"),
        ]
        print(
            f"{'corpus':36} {'parser':13} {'recognised':>15} {'hard/soft right':>16} {'false':>7} {'mails/CPU s':>12}"
        )
        for corpus in corpora:
            for title, ask in (("ours", _ours), ("flufl.bounce", _theirs)):
                _show(corpus, title, ask)
            if chosen.wrong:
                _show_wrong(corpus)
    return 0


def _show(corpus: Corpus, title: str, ask: Callable[[Corpus], Answers]) -> None:
    answers = ask(corpus)
    bounces = [name for name, label in corpus.labels.items() if label != "none"]
    seen = [name for name in bounces if answers.said[name] != "none"]
    right = [name for name in seen if (answers.said[name] == "hard") == (corpus.labels[name] == "hard")]
    others = [name for name, label in corpus.labels.items() if label == "none"]
    false = [name for name in others if answers.said[name] != "none"]
    print(
        f"{corpus.title:36} {title:13} {_share(seen, bounces):>15} {_share(right, seen):>16}"
        f" {f'{len(false)}/{len(others)}':>7} {answers.rate:>12,.0f}"
    )


def _share(part: list[str], whole: list[str]) -> str:
    return f"{len(part)}/{len(whole)} {len(part) / max(len(whole), 1):.1%}"


def _show_wrong(corpus: Corpus) -> None:
    said = _ours(corpus).said
    for name, label in corpus.labels.items():
        kind = "hard" if label == "hard" else "none" if label == "none" else "soft"
        if said[name] != kind:
            print(f"    {name}: {said[name]}, a person says {label}")


def _ours(corpus: Corpus) -> Answers:
    mails = {name: path.read_bytes() for name, path in corpus.mails.items()}
    said = {}
    for name, data in mails.items():
        told = [one for one in understood(data) if one.kind in (ReportKind.bounce, ReportKind.delayed)]
        hard = any(one.hardness is Hardness.hard for one in told)
        said[name] = "hard" if hard else "soft" if told else "none"
    seconds = []
    for _ in range(_ROUNDS):
        reasons._judged.cache_clear()
        started = time.process_time()
        for data in mails.values():
            understood(data)
        seconds.append(time.process_time() - started)
    return Answers(said, len(mails) / min(seconds))


def _theirs(corpus: Corpus) -> Answers:
    """In their own environment; permanent is hard, temporary is soft."""
    names = {str(path): name for name, path in corpus.mails.items()}
    done = subprocess.run(
        [environment.python(), str(environment.HERE / "flufl_parse.py")],
        input=json.dumps(list(names)),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    said = {
        names[path]: "hard" if one["permanent"] else "soft" if one["temporary"] else "none"
        for path, one in told["found"].items()
    }
    return Answers(said, len(names) / told["seconds"])


def _corpus(key: str, title: str, folder: Path, pattern: str) -> Corpus:
    wanted = tomllib.loads((_HERE / "bounces.toml").read_text())[key]
    mails = {path.stem: path for path in sorted(folder.glob(pattern))}
    labels = {
        name: label for name in mails for label, names in wanted.items() if any(fnmatch(name, one) for one in names)
    }
    if unread := sorted(mails.keys() - labels.keys()):
        sys.exit(f"bounces.toml does not say what these mails of {folder} are: {', '.join(unread)}")
    return Corpus(title, mails, labels)


def _flufl(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", _FLUFL]
    if subprocess.run([*command[:3], "--version"], capture_output=True, check=False).returncode:
        command = [environment.python(), *command[1:]]
    subprocess.run(command, cwd=folder, check=True)
    return _unpacked(next(folder.glob("flufl*.tar.gz")), folder)


def _debian(folder: Path) -> Path:
    """With the sources that apt knows already, asked for their source packages, in lists of our own."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    known = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = {f"deb-src {line}" for line in known.stdout.splitlines() if line.endswith(" main") and "debian" in line}
    (folder / "sources.list").write_text("\n".join(sorted(lines)) + "\n")
    apt = ["apt-get", "-qq", f"-oDir::Etc::sourcelist={folder}/sources.list", "-oDir::Etc::sourceparts=/dev/null"]
    apt += [f"-oDir::State::lists={lists}", "-oAPT::Sandbox::User=root"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", "--download-only", "--only-source", _DEBIAN], cwd=folder, check=False)
    return _unpacked(next(folder.glob("libmail*.orig.tar.*")), folder)


def _unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
        return folder / opened.getnames()[0].split("/")[0]


if __name__ == "__main__":
    raise SystemExit(main())
