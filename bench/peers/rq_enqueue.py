"""One RQ job per mail: enqueues the jobs.

python rq_enqueue.py BUNDLE PORT FIRST LAST REDIS_URL
"""

from __future__ import annotations

import sys

from letter import wait_for_go
from redis import Redis
from rq import Queue

told_at, port, first, last, redis_url = sys.argv[1:]
queue = Queue(connection=Redis.from_url(redis_url))
wait_for_go()
for start in range(int(first), int(last) + 1, 500):
    numbers = range(start, min(start + 500, int(last) + 1))
    queue.enqueue_many([Queue.prepare_data("rq_job.send", (told_at, int(port), number)) for number in numbers])
print("done", flush=True)
