"""One RQ job per mail: a SimpleWorker that works until the queue is empty.

python rq_worker.py REDIS_URL
"""

from __future__ import annotations

import sys

import rq_job  # noqa: F401 - loaded before the clock starts
from letter import wait_for_go
from redis import Redis
from rq import Queue, SimpleWorker

connection = Redis.from_url(sys.argv[1])
wait_for_go()
SimpleWorker([Queue(connection=connection)], connection=connection).work(burst=True, logging_level="WARNING")
print("done", flush=True)
