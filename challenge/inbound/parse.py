"""What does this mail say about which recipient? `parse(bytes)`: asked by `challenge inbound` and the receiving end.

Complaint, delivery status, free-text bounce, automatic reply, in this order; ordinary mail gives an empty list. Only what a
machine reports at the top of the mail counts: a bounce that somebody quotes or forwards is not a bounce.
"""

from __future__ import annotations

import logging
import re

from challenge.inbound import freetext, status
from challenge.inbound.complaints import complaint_in
from challenge.inbound.mime import Part, read
from challenge.inbound.patterns import any_of
from challenge.inbound.reasons import code_in, from_status, from_words, hardness_of
from challenge.inbound.replying import answer_in, answered
from challenge.inbound.report import Hardness, Reason, Report, ReportKind

log = logging.getLogger(__name__)
MOST = 50  # reports of one mail; ours go to one person each
_RETURNED = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global",
    "message/global-headers",
    "message/partial",
)
_ACTIONS = {
    "failed": ReportKind.bounce,
    "failure": ReportKind.bounce,
    "failed/5": ReportKind.bounce,
    "delayed": ReportKind.delayed,
    "delay": ReportKind.delayed,
    "delivered": ReportKind.other,
    "relayed": ReportKind.other,
    "expanded": ReportKind.other,
}
_ADDRESS = re.compile(r"[^\s<>;,:\"()]{1,320}@[^\s<>;,:\"()]{1,255}")


def parse(data: bytes) -> list[Report]:
    """The reports in one mail, none for ordinary mail. Never raises: what a stranger sent must not stop the queue."""
    try:
        return understood(data)
    except Exception:  # noqa: BLE001 - any bytes may come; a mail we cannot read says nothing
        log.warning("mail not understood", extra={"action": "parse", "bytes": len(data)})
        return []


def understood(data: bytes) -> list[Report]:
    """What `parse` does, without its net."""
    mail = read(data)
    if complaint := complaint_in(mail):
        return [complaint]
    text = own_text(mail)
    words = freetext.before_the_original(text)
    if mail.parameters.get("report-type", "").lower() == "disposition-notification":
        refused = freetext.is_signed_by_a_server(mail) and freetext.is_bounce(mail, words)  # Dovecot's way to reject
        return _from_text(mail, words, text) if refused else [_receipt(mail)]
    told = [] if mail.kind != "multipart/report" and freetext.is_passed_on(mail) else _told(mail)
    if told:
        if _is_challenge(mail, told):
            return [answered(mail, Reason.challenge_response, told[0].diagnostic)]
        if len(told) > MOST:
            log.warning("mail reports on too many", extra={"action": "parse", "left_out": len(told) - MOST})
        return [_from_fields(one, mail, words, len(told)) for one in told[:MOST]]
    if freetext.is_bounce(mail, words):
        return _from_text(mail, words, text)
    answer = answer_in(mail, words)
    return [answer] if answer else []


def own_text(mail: Part) -> str:
    """What the mail itself says: its first text part, and further ones in front of what was returned."""
    texts: list[str] = []
    for part in mail.walk():
        if part.kind in _RETURNED:
            break
        if part.is_text and "attachment" not in part.get("content-disposition").lower():
            if part.kind == "text/html" and texts and any(text.strip() for text in texts):
                continue
            texts.append(part.text())
    return "\n".join(texts)[:100_000]


def returned_in(mail: Part) -> Part | None:
    """The returned message or its headers, where the report carries them as a part."""
    for part in mail.walk():
        if part.kind in _RETURNED:
            return part.inner()
    return None


def _told(mail: Part) -> list[status.Told]:
    for part in mail.walk():
        if part.kind in status.KINDS:
            return status.told_in(part)
    if mail.kind == "multipart/report" or freetext.is_from_a_server(mail):
        for part in mail.walk():  # the fields under another content type
            if (
                part.is_text
                and re.search(r"(?im)^final-recipient:", text := part.text())
                and re.search(r"(?im)^(?:action|status):", text)
            ):
                start = re.search(r"(?im)^(?:original-recipient|final-recipient):", text)
                return status.told_in(
                    Part(
                        part.fields, text[start.start() if start else 0 :].encode(), "text/plain", {"charset": "utf-8"}
                    )
                )
    return []


def _is_challenge(mail: Part, told: list[status.Told]) -> bool:
    diagnostic = told[0].diagnostic.lower()
    return "not pre-approved" in diagnostic or "boxbe" in mail.get("from").lower()


def _from_fields(one: status.Told, mail: Part, words: str, how_many: int) -> Report:
    kind = _ACTIONS.get(one.action) or _kind_of(one, mail, words)
    recipient = one.recipient or _from_returned(mail)
    if kind is ReportKind.other:
        return Report(recipient, kind, Reason.unknown, Hardness.none, one.status, one.action)
    reason, evidence = _reason(one, words, how_many)
    hardness = hardness_of(reason) if kind is ReportKind.bounce else Hardness.soft
    return Report(recipient, kind, reason, hardness, one.status, evidence)


def _kind_of(one: status.Told, mail: Part, words: str) -> ReportKind:
    if freetext.is_delay(mail, words):
        return ReportKind.delayed
    return ReportKind.other if one.status.startswith("2") else ReportKind.bounce


def _reason(one: status.Told, words: str, how_many: int) -> tuple[Reason, str]:
    """The server's words; the relay's summary where they say nothing; the code where neither does."""
    if one.diagnostic and (reason := from_words(one.diagnostic)):
        return reason, _short(one.diagnostic)
    near = _near(one.recipient, words) if how_many > 1 else words
    code = from_status(one.status)
    for text in (freetext.replied_lines(near), *([near] if code is None or _is_vague(code) else [])):
        if text and (reason := from_words(_without_boilerplate(text))):
            return reason, _short(text)
    if code is not None:
        return code, _short(one.diagnostic or one.status)
    return Reason.unknown, _short(one.diagnostic or near)


def _is_vague(reason: Reason) -> bool:
    return reason in (Reason.policy, Reason.network, Reason.content)


def _near(recipient: str, words: str) -> str:
    at = words.lower().find(recipient.lower()) if recipient else -1
    return words[at : at + 600] if at >= 0 else ""


def _from_text(mail: Part, words: str, text: str) -> list[Report]:
    delayed = freetext.is_delay(mail, words)
    kind = ReportKind.delayed if delayed else ReportKind.bounce
    named = freetext.named_in(mail, words, _sender_of(mail)) or freetext.named_without_a_domain(mail, words)
    if not named:
        named = [freetext.Named(_from_returned(mail) or _to_in(text[len(words) :], mail), words)]
    reports = []
    for one in named:
        reason, evidence = _reason_in_text(one.words, words, text)
        hardness = Hardness.soft if delayed else hardness_of(reason)
        reports.append(Report(one.recipient, kind, reason, hardness, code_in(one.words) or code_in(words), evidence))
    return reports


def _reason_in_text(near: str, words: str, text: str) -> tuple[Reason, str]:
    for part in (freetext.replied_lines(near), near, freetext.replied_lines(words), words):
        if not part:
            continue
        for line in _paragraphs(_without_boilerplate(part)):
            if reason := from_words(line):
                return reason, _short(line)
    if reason := from_status(code_in(words)):
        return reason, code_in(words)
    if reason := from_words(" ".join(words.split())[:3000]):
        return reason, _short(words)
    tail = text[len(words) :]
    if (said := freetext.replied_lines(tail[-3000:])) and (reason := from_words(said)):
        return reason, _short(said)
    return Reason.unknown, _short(_without_boilerplate(near) or words.strip())


_CODE = re.compile(r"\b[45]\d\d\b|\b[45]\.\d\.\d")


def _paragraphs(text: str) -> list[str]:
    """The passages most likely to hold the reason first: those with a reply code, then all of it."""
    pieces = [piece for piece in re.split(r"\n[ \t]*\n", text) if piece.strip()]
    coded = [piece for piece in pieces if _CODE.search(piece)]
    return [*coded[:3], " ".join(pieces)[:3000]]


_BOILERPLATE = any_of(
    r"""
    this is the (?:mail system|postfix program|qmail-send program|mail delivery agent)
    sorry to have to inform you
    was created automatically by
    delivery status notification
    not monitored
    do not reply
    don't reply
    message was received at
    please (?:send mail|include|direct|contact|forward|refer|notify|read|do not|note|visit)
    for (?:further|more) (?:assistance|information|details)
    delete your own text
    if you do so
    attached (?:below|to this)
    returned message
    the (?:mail system|postfix program)$
    permanent (?:error|fatal errors)
    given up
    didn't work out
    transcript of session
    following (?:address|recipient)
    your (?:original )?message (?:to|could not be delivered|was not delivered)
    message (?:that )?you sent
    wasn't able to deliver
    a copy of
    original message
    subject:
    ^date:
    confidential
    privileged
    intended (?:recipient|only|solely)
    viruses
    disclaimer
    scanned (?:by|for)
    has come from the internet
    mimesweeper
    messagelabs
    """,
    ignore_case=True,
)


def _without_boilerplate(text: str) -> str:
    kept = "\n".join(line for line in text.splitlines() if not _BOILERPLATE.search(line) or _CODE.search(line))
    return kept.strip()


def _sender_of(mail: Part) -> set[str]:
    """Addresses that stand in the report but are not the recipient: ours, and the server's own."""
    values = [
        mail.get(name)
        for name in (
            "to",
            "from",
            "delivered-to",
            "x-original-to",
            "envelope-to",
            "x-envelope-to",
            "sender",
            "reply-to",
            "cc",
        )
    ]
    returned = returned_in(mail)
    if returned is not None:
        values += [returned.get(name) for name in ("from", "return-path", "sender", "reply-to", "errors-to")]
    for part in mail.walk():
        if part.kind in status.KINDS:
            values += status.addresses_in(part)
    return {found.strip(".").lower() for value in values for found in _ADDRESS.findall(value)}


def _from_returned(mail: Part) -> str:
    returned = returned_in(mail)
    if returned is None:
        return ""
    found = [one for name in ("x-original-to", "delivered-to", "to") for one in _ADDRESS.findall(returned.get(name))]
    return found[0] if found else ""


def _to_in(copy: str, mail: Part) -> str:
    """The To header of a message that was returned as plain text."""
    ours = _sender_of(mail)
    for line in re.findall(r"(?im)^[ \t>]*to:[ \t]*(.*(?:\n[ \t]+.*)?)", copy[:20_000]):
        for found in _ADDRESS.findall(line):
            if found.lower() not in ours:
                return str(found)
    return ""


def _receipt(mail: Part) -> Report:
    """A read receipt (RFC 8098): nothing that anybody must act on."""
    return Report("", ReportKind.other, Reason.unknown, Hardness.none, evidence=_short(mail.get("subject")))


def _short(text: str) -> str:
    return " ".join(text.split())[:500]
