"""Commands as an operator types them, each in a process of its own. Loading takes most of a second, so they are forked
from a process that has loaded them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_SERVER = """
import json, os, sys
import alembic.command, challenge.importing, challenge.people, challenge.stats.funnel, challenge.web, worker
from challenge.cli import main
for row in sys.stdin:
    words, folder, environ, given, told, errors = json.loads(row)
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    for place, path in enumerate((given, told, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC * (place > 0)), place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = words
    sys.exit(main())
"""
_servers: list[subprocess.Popen[str]] = []


def run(folder: Path, *words: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """`challenge WORDS` in `folder`, its data in `folder/var`, with no settings but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHALLENGE_")}
    kept |= {"CHALLENGE_DATA_DIR": str(folder / "var"), **environ}
    paths = [folder / f".{name}" for name in ("given", "told", "errors")]
    paths[0].write_text(given)
    if not _servers:
        command = [sys.executable, "-c", _SERVER]
        _servers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    ask, answer = _servers[0].stdin, _servers[0].stdout
    assert ask is not None
    assert answer is not None
    print(json.dumps([words, str(folder), kept, *map(str, paths)]), file=ask, flush=True)
    code = int(answer.readline())
    return subprocess.CompletedProcess(words, code, paths[1].read_text(), paths[2].read_text())


def end() -> None:
    """At the end of the tests."""
    while _servers:
        with _servers.pop() as server:
            server.communicate()
