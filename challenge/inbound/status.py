"""What does a delivery status notification say, field by field? RFC 3464 and 6522, and what servers make of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from challenge.inbound.mime import Part
from challenge.inbound.reasons import code_in

KINDS = (
    "message/delivery-status",
    "message/global-delivery-status",
    "message/x-delivery-status",
    "text/delivery-status",
)
_FIELD = re.compile(r"([!-9;-~]{1,60})[ \t]*:[ \t]*(.*)")
_ADDRESS = re.compile(r"[^\s<>;,\"()]{1,320}@[^\s<>;,\"()]{1,255}")
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_RECIPIENT_FIELDS = ("final-recipient", "original-recipient", "x-actual-recipient", "recipient")


@dataclass(frozen=True)
class Told:
    """One recipient's group of fields. `action` and `status` are empty when the server left them out."""

    recipient: str
    action: str
    status: str
    diagnostic: str


def told_in(part: Part) -> list[Told]:
    """The recipients that a delivery-status part tells of; none when it names none."""
    groups = [_group(block) for block in re.split(r"\n[ \t]*\n", part.text()[:100_000]) if block.strip()]
    told = [one for group in groups if (one := _told(group)) is not None]
    if told:
        return told
    merged: dict[str, str] = {}
    for group in groups:  # some servers put an empty line between the fields of one recipient
        merged = {**group, **merged}
    one = _told(merged)
    return [one] if one else []


def addresses_in(part: Part) -> list[str]:
    """Who sent the returned message, as the server kept it: never a recipient."""
    found = re.findall(r"(?im)^x-[a-z-]*sender:.*", part.text()[:100_000])
    return [address for line in found for address in _ADDRESS.findall(line)]


def _group(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in block.splitlines():
        if line[:1] in " \t" and last:
            fields[last] += " " + line.strip()
        elif found := _FIELD.match(line.strip()):
            last = found[1].lower()
            if last in fields:
                last = f"{last} again"
            fields[last] = found[2].strip()
        elif last and line.strip():
            fields[last] += " " + line.strip()  # a diagnostic that was wrapped without indenting
    return fields


def _told(fields: dict[str, str]) -> Told | None:
    action = fields.get("action", "").split(" ")[0].split(";")[0].strip().lower()
    recipient = next((who for name in _RECIPIENT_FIELDS if (who := _recipient(fields.get(name, "")))), "")
    if not recipient and not (action and "status" in fields):
        return None
    diagnostic = _after_kind(fields.get("diagnostic-code", "") or fields.get("x-supplementary-info", ""))
    if not diagnostic:  # "Status: 5.0.0 (recipient reached disk quota)", "Action: failed (Bad destination)"
        diagnostic = " ".join(words for name in ("status", "action") if " " in (words := fields.get(name, "")))
    found = _STATUS.search(fields.get("status", ""))
    return Told(recipient, action, better(found[1] if found else "", diagnostic), diagnostic)


def better(status: str, diagnostic: str) -> str:
    """The more telling of the field and the code in the server's words: many relays write 5.0.0 for all."""
    own = code_in(diagnostic)
    return own if own and (not status or status.endswith(".0.0")) else status or own


def _recipient(value: str) -> str:
    kind, semicolon, rest = value.partition(";")
    text = (rest if semicolon else kind).strip().strip("<>").strip()
    found = _ADDRESS.search(text)
    if found:
        return found[0].strip("<>[]'.")
    return (
        text if semicolon and text and " " not in text and len(text) < 256 and kind.strip().lower() == "rfc822" else ""
    )


def _after_kind(value: str) -> str:
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and len(kind) < 40 and " " not in kind.strip() else value
