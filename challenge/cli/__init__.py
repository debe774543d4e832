"""Every command: parse, call one step, print. Exit code 0 good, 1 found a problem, 2 wrong usage or settings."""

from challenge.cli import (
    access,
    bench,
    content,
    conversions,
    doctor,
    inbound,
    numbers,
    people,
    sending,
    service,
    suppressions,
)
from challenge.cli.door import cli, main

__all__ = [
    "access",
    "bench",
    "cli",
    "content",
    "conversions",
    "doctor",
    "inbound",
    "main",
    "numbers",
    "people",
    "sending",
    "service",
    "suppressions",
]
