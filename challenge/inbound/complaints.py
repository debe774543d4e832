"""Did somebody press "this is spam"? Abuse reports in ARF (RFC 5965) and the feeds that look like it."""

from __future__ import annotations

import re

from challenge.inbound.mime import Part
from challenge.inbound.report import Hardness, Reason, Report, ReportKind

_ADDRESS = re.compile(r"[^\s<>;,\"()]{1,320}@[^\s<>;,\"()]{1,255}")
_FIELD = re.compile(r"(?m)^([A-Za-z-]{1,60})[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)")
_NO_COMPLAINT = {"not-spam", "auth-failure", "dmarc", "authfail", "auth_failure"}
_KEPT = ("original-rcpt-to", "removal-recipient", "x-original-rcpt-to", "x-hmxmroriginalrecipient")
_OTHER_FEEDS = re.compile(
    r"(?i)^(?:email feedback report for ip|complaint about message from|abuse report|abuse notification)\b"
)


def complaint_in(mail: Part) -> Report | None:
    """The complaint, or None when this is none."""
    for part in mail.walk():
        if part.kind == "message/feedback-report":
            return _from_fields(mail, part.text())
    if mail.parameters.get("report-type", "").lower() == "feedback-report":
        for part in mail.walk():  # the fields were sent as plain text
            if part.is_text and re.search(r"(?im)^feedback-type:", part.text()):
                return _from_fields(mail, part.text())
        return _report(mail, "abuse", {})
    if mail.get("x-loop").lower() == "scomp" or (
        _OTHER_FEEDS.match(mail.get("subject")) and _returned(mail) is not None
    ):
        return _report(mail, "abuse", {})
    return None


def _from_fields(mail: Part, text: str) -> Report:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text[:20_000]):
        fields.setdefault(name.lower(), re.sub(r"\s+", " ", value).strip())
    return _report(mail, fields.get("feedback-type", "abuse").lower(), fields)


def _report(mail: Part, what: str, fields: dict[str, str]) -> Report:
    complains = what not in _NO_COMPLAINT
    words = f"{what} report from {fields.get('user-agent') or mail.get('from')}"
    return Report(
        recipient=_recipient(mail, fields),
        kind=ReportKind.complaint if complains else ReportKind.other,
        reason=Reason.spam if complains else Reason.unknown,
        hardness=Hardness.none,
        evidence=words[:500],
    )


def _recipient(mail: Part, fields: dict[str, str]) -> str:
    values = [fields.get(name, "") for name in _KEPT]
    returned = _returned(mail)
    if returned is not None:
        values += [returned.get(name) for name in ("x-hmxmroriginalrecipient", "to", "delivered-to")]
    for value in values:
        if found := _ADDRESS.search(value):
            return found[0].strip("<>[]'.")
    return ""


def _returned(mail: Part) -> Part | None:
    for part in mail.walk():
        if part.kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers"):
            return part.inner()
    return None
