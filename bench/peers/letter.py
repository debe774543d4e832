"""What both peers say about one person: the words of our day mail, filled in from a template, with signed links."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from itsdangerous import URLSafeSerializer

_signer = URLSafeSerializer("k" * 40, salt="link")


def bundle(path: str) -> dict[str, Any]:
    """subject, text, html (templates with `{{ name }}` and `{{ links.x }}`), links (their names), sender, base_url."""
    read: dict[str, Any] = json.loads(Path(path).read_text())
    return read


def context(told: dict[str, Any], number: int) -> dict[str, Any]:
    """One signature for each link, used in both parts: cheaper than ours, which signs each place."""
    return {
        "name": f"Person {number}",
        "links": {name: f"{told['base_url']}/{name}/{_signer.dumps([number, name])}" for name in told["links"]},
    }


def address(number: int) -> str:
    return f"person{number}@d{number % 50}.example"


def headers(values: dict[str, Any], told: dict[str, Any]) -> dict[str, str]:
    return {
        "List-Unsubscribe": f"<{values['links']['unsubscribe']}>, <mailto:{told['sender']}?subject=unsubscribe>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def wait_for_go() -> None:
    """Everything is loaded; the clock starts when the benchmark says so."""
    print("ready", flush=True)
    input()
