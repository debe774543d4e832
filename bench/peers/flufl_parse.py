"""flufl.bounce over files: the paths come as JSON on standard input, what it found goes out as JSON, with its CPU seconds."""

import json
import sys
import time
from email import message_from_bytes
from pathlib import Path

from flufl.bounce import all_failures

mails = {path: Path(path).read_bytes() for path in json.load(sys.stdin)}
found = {}
for path, data in mails.items():
    temporary, permanent = all_failures(message_from_bytes(data))
    found[path] = {"temporary": len(temporary), "permanent": len(permanent)}
seconds = []
for _ in range(5):
    started = time.process_time()
    for data in mails.values():
        all_failures(message_from_bytes(data))
    seconds.append(time.process_time() - started)
json.dump({"found": found, "seconds": min(seconds)}, sys.stdout)
