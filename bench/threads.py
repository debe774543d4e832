"""smtplib at its best: one thread for each connection, connections that stay open, mails that are finished already.

`python -m bench.threads PORT MAILS CONNECTIONS BYTES` prints mails per second.
"""

from __future__ import annotations

import smtplib
import sys
import threading
import time


def send(port: int, numbers: range, body: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as relay:
        for number in numbers:
            relay.sendmail("from@a.example", f"person{number}@b.example", body)


def main() -> None:
    port, mails, connections, size = map(int, sys.argv[1:])
    body = b"Subject: 30 KB\r\n\r\n" + (b"X" * 76 + b"\r\n") * (size // 78)
    shares = [range(first, mails, connections) for first in range(connections)]
    threads = [threading.Thread(target=send, args=(port, share, body)) for share in shares]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(mails / (time.monotonic() - started))


if __name__ == "__main__":
    main()
