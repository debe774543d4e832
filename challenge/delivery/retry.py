"""What becomes of a row after an attempt? Pure: an outcome and what the row has been through in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass

from challenge.delivery.relay import said
from challenge.delivery.replies import Judgement, Reply, Stage, Verdict, classify
from challenge.delivery.smtp import Kind, Outcome
from challenge.models import DeliveryState

MAX_STRIKES = 8
_LONGEST_WAIT = 4 * 3600.0
UNMADE_WAITS = 600.0
CUT_WAITS = 60.0  # the line broke under it: this mail may be why, and must not break the next line at once
REFUSED_WAITS = 3600.0
_ABOUT_US = (Stage.connect, Stage.banner, Stage.ehlo, Stage.starttls, Stage.auth, Stage.mail)  # nobody else was named
_LOGIN = (530, 534, 535, 538)


@dataclass(frozen=True)
class Decision:
    """The row's next state. `retry_seconds`: in challenge time; `suppress`: the address is dead, `soft`: this mailbox
    did not take it this time; `alert`: code, words; `stop`: the whole queue must wait for a human; `refuses_us`: one
    receiver may mean us, and `refusals` asks whether others do; `lasts`: put off again and again without a strike."""

    state: DeliveryState
    reason: str = ""
    retry_seconds: float = 0.0
    strike: bool = False
    suppress: bool = False
    soft: bool = False
    alert: tuple[str, str] | None = None
    stop: bool = False
    refuses_us: bool = False
    lasts: bool = False


def decide(outcome: Outcome, strikes: int) -> Decision:
    """`strikes`: temporary refusals that were about this person so far."""
    if outcome.kind is Kind.accepted:
        return Decision(DeliveryState.sent)
    if outcome.kind is Kind.uncertain:
        return Decision(DeliveryState.uncertain, outcome.why)
    if outcome.kind is Kind.unmade:
        words = f"A mail cannot be made, and waits: {outcome.why}. Mend it and restart; `challenge lint` shows where."
        return Decision(
            DeliveryState.scheduled, f"cannot be made: {outcome.why}"[:300], UNMADE_WAITS, alert=("unmade", words)
        )
    if outcome.kind is Kind.unsent or outcome.reply is None:
        if outcome.stage is Stage.connect:  # we took it back ourselves
            return Decision(DeliveryState.scheduled, outcome.why)
        return Decision(DeliveryState.scheduled, outcome.why, CUT_WAITS, lasts=True)
    return _refused(classify(outcome.reply), outcome.reply, strikes)


def _refused(judgement: Judgement, reply: Reply, strikes: int) -> Decision:
    words_of_relay = said(reply)
    reason = f"{judgement.reason}: {words_of_relay}"[:300]
    wait = min(judgement.first_retry_seconds * 2**strikes, _LONGEST_WAIT)
    match judgement.verdict:
        case Verdict.retry_untouched:
            return Decision(DeliveryState.scheduled, reason, wait, lasts=True)
        case Verdict.defer | Verdict.mailbox_full:
            soft = judgement.verdict is Verdict.mailbox_full
            if strikes + 1 >= MAX_STRIKES:
                return Decision(DeliveryState.failed, reason, strike=True, soft=soft)
            wait = max(wait, judgement.first_retry_seconds)
            return Decision(DeliveryState.scheduled, reason, wait, strike=True, soft=soft)
        case Verdict.dead_address:
            return Decision(DeliveryState.failed, reason, suppress=True)
        case Verdict.strike:
            return Decision(DeliveryState.failed, reason, strike=True, soft=True)
        case Verdict.sender_refused:
            words = f"A receiver refuses us, not the person: {words_of_relay}. Look at SPF, DKIM, DMARC and reputation."
            return _at_whom(reply, reason, ("sender_refused", words))
        case Verdict.our_fault:
            words = f"A message of ours was not taken: {words_of_relay}."
            return Decision(DeliveryState.failed, reason, alert=("our_fault", words))
        case Verdict.configuration:
            words = f"The relay does not accept us: {words_of_relay}. Check CHALLENGE_SMTP_URL, then run `challenge resume-sending`."
            return _at_whom(reply, reason, ("configuration", words))
        case _:
            return Decision(DeliveryState.sent)


def _at_whom(reply: Reply, reason: str, alert: tuple[str, str]) -> Decision:
    """A relay that takes neither our login nor our sender refuses every mail. After RCPT it may pass on what one receiver
    says: one person's server must not stop the mails of all."""
    if reply.stage in _ABOUT_US or reply.code in _LOGIN:
        return Decision(DeliveryState.scheduled, reason, alert=alert, stop=True)
    return Decision(DeliveryState.scheduled, reason, REFUSED_WAITS, alert=alert, refuses_us=True, lasts=True)
