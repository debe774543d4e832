"""What did the outside world say about one recipient? The words that the parser, every webhook and the effects share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReportKind(StrEnum):
    """What a report is. Only `bounce` and `complaint` can change what holds for a person."""

    bounce = "bounce"
    complaint = "complaint"
    delayed = "delayed"
    auto_reply = "auto_reply"
    other = "other"


class Hardness(StrEnum):
    """`hard`: this address will not work again. `soft`: it may; that goes for every delay and every bounce with another reason
    than a dead address. `none`: nothing was to be delivered (complaints, replies)."""

    hard = "hard"
    soft = "soft"
    none = "none"


class Reason(StrEnum):
    """Why, in words an operator acts on. Reasons decide, not digits: most 5xx are not dead addresses."""

    user_unknown = "user_unknown"
    domain_unknown = "domain_unknown"
    inactive = "inactive"
    mailbox_full = "mailbox_full"
    size = "size"
    content = "content"
    policy = "policy"
    reputation = "reputation"
    authentication = "authentication"
    rate_limited = "rate_limited"
    greylisted = "greylisted"
    network = "network"
    expired = "expired"
    loop = "loop"
    vacation = "vacation"
    challenge_response = "challenge_response"
    spam = "spam"
    unknown = "unknown"


@dataclass(frozen=True)
class Report:
    """One recipient's part of one report. `status` is an enhanced code (RFC 3463) or empty, `evidence` the words that
    decided, at most 500 characters; `recipient` is the address as reported, or empty when nothing names one."""

    recipient: str
    kind: ReportKind
    reason: Reason
    hardness: Hardness
    status: str = ""
    evidence: str = ""
