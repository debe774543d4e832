"""What may somebody at the desk do to a person? Each deed is logged with who did it, in the caller's transaction.

The events say `staff`, so that nobody takes a deed for a sign of life from the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from challenge import conversion_links, participation
from challenge.access.log import write_down
from challenge.bounced import give_up
from challenge.conversions import KeyUsedTwice, Outcome, Refund, Told, record_for, refund
from challenge.errors import BadInput, UsageError
from challenge.events import append, is_suppressed, lock, without_addresses
from challenge.journey import is_copy, next_waking
from challenge.models import (
    Conversion,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    EventKind,
    Subscriber,
)
from challenge.money import written
from challenge.plan import plan_now

STAFF = "staff"
COPIES = 3
_ASKED_FOR = (EnrollmentState.active, EnrollmentState.ended)
_CLOSED = (DeliveryState.sent, DeliveryState.failed, DeliveryState.expired, DeliveryState.uncertain)
HELD = "held by"
_IS_UNCERTAIN = text("delivery.state = 'uncertain'")  # the words of the partial index


@dataclass(frozen=True)
class Desk:
    """Who acts, at which challenge time, in a challenge of how many days."""

    session: Session
    user: str
    now: datetime
    days: int

    def pause(self, number: int) -> str:
        if not participation.pause(self.session, number, self.now, who=STAFF):
            raise UsageError("Only somebody who gets mails can be paused.")
        self._write_down("paused a person", number)
        return "Paused. No mail goes out until somebody resumes it."

    def resume(self, number: int) -> str:
        if not participation.resume(self.session, number, self.now, who=STAFF):
            raise UsageError("Only somebody who is paused can be resumed.")
        self._write_down("resumed a person", number)
        return "Resumed. The next mail comes on their next morning."

    def send_again(self, number: int, key: str) -> str:
        """One more copy of a mail that is closed, as a row of its own beside the sequence; three copies at most."""
        enrollment, subscriber = lock(self.session, number)
        self._refuse_copy(enrollment, subscriber, key)
        append(self.session, enrollment, EventKind.resent, self.now, who=STAFF, detail={"key": key, "by": self.user})
        plan_now(self.session, enrollment, self.days, self.now)
        self._write_down("sent a mail again", number, key)
        return f"One more copy of {key} is on its way; between 9 pm and 6 am it waits for the morning."

    def suppress(self, number: int, why: str) -> str:
        """Nobody mails the address again, whoever asks; every run of its owner ends."""
        _, subscriber = lock(self.session, number)
        if is_suppressed(self.session, subscriber.email_key):
            raise UsageError("This address gets no mail already.")
        words = f"by {self.user}: {why}" if why else f"by {self.user}"
        give_up(self.session, subscriber, "by hand", words, self.now, who=STAFF)
        self._write_down("suppressed an address", number, without_addresses(why))
        return "This address gets no mail any more."

    def join(self, number: int, price: tuple[int, str], joined_at: datetime | None, form: str) -> str:
        """They joined the programme, and told somebody here. `form`: a word of the page, so that two taps are one."""
        told = Told(f"desk:{form}", "", "", *price, joined_at)
        try:
            outcome = record_for(self.session, number, told, self.now, "desk")
        except KeyUsedTwice:
            raise UsageError(
                "This was noted a moment ago with other words. Look at the story, then ask anew."
            ) from None
        if outcome is Outcome.recorded:
            self._write_down("noted that somebody joined", number, written(*price))
        return "Noted. Nobody invites them to the programme any more."

    def make_link(self, number: int, price: tuple[int, str], days: int) -> str:
        """A link by which they say themselves that they joined."""
        conversion_links.make(self.session, number, price, self.user, days=days)
        return "The link is made: it stands under Joining. Send it to nobody but them."

    def take_back_link(self, number: int, link: int) -> str:
        conversion_links.take_back(self.session, link, number, self.user)
        return "Taken back. The link records nothing any more."

    def take_back_joining(self, number: int, conversion: int, why: str) -> str:
        """All that is left of one conversion of theirs goes back; two taps are one."""
        row = self.session.get(Conversion, conversion)
        if row is None or row.enrollment_id != number:
            raise UsageError("There is no such conversion of theirs.")
        told = Refund(f"desk:{conversion}", row.key, None, "", without_addresses(why))
        try:
            outcome = refund(self.session, told, self.now)
        except BadInput as error:
            raise UsageError(error.sentence) from None
        if outcome is Outcome.recorded:
            detail = f"{written(row.amount, row.currency)} {told.why}".strip()
            self._write_down("took back that somebody joined", number, detail)
        return "Taken back. The amount is out of the revenue; no invitation is sent because of it."

    def export(self, number: int) -> dict[str, object]:
        """All that is kept about the person."""
        _, subscriber = lock(self.session, number)
        self._write_down("exported a person's data", number)
        return participation.my_data(self.session, subscriber.id or 0)

    def erase(self, number: int) -> str:
        """Everything about the person goes, but that somebody with this number was erased, and by whom."""
        _, subscriber = lock(self.session, number)
        participation.erase(self.session, subscriber.id or 0)
        self._write_down("erased a person", number)
        return "Erased. An address that must not be mailed stays known as a hash."

    def hold(self, delivery_id: int) -> str:
        """An uncertain mail stays as it is, and is not asked about any more."""
        row = self._uncertain(delivery_id)
        row.reason = f"{HELD} {self.user}: {row.reason}"[:300]
        self.session.add(row)
        self._write_down("held an uncertain mail", row.enrollment_id, row.key)
        return "Held. If it had arrived, they have it; if not, they miss this one."

    def send_once_more(self, delivery_id: int) -> str:
        """An uncertain mail goes out once more with the same bytes and Message-ID. It leaves the daily sequence, which
        has gone on without it."""
        row = self._uncertain(delivery_id)
        if row.resends:
            raise UsageError("This mail was sent twice already; it can only be held.")
        _, subscriber = lock(self.session, row.enrollment_id)
        row.state, row.resends, row.is_daily = DeliveryState.scheduled, 1, False
        row.due_at, row.closed_at = next_waking(subscriber.timezone, self.now), None
        row.reason = f"once more, by {self.user}"
        self.session.add(row)
        self._write_down("sent an uncertain mail once more", row.enrollment_id, row.key)
        return "It goes out once more. In the worst case they have it twice."

    def _refuse_copy(self, enrollment: Enrollment, subscriber: Subscriber, key: str) -> None:
        query = select(Delivery).where(Delivery.enrollment_id == enrollment.id)
        rows = {row.key: row for row in self.session.exec(query)}
        copies = [row for row in rows.values() if is_copy(row.key) and row.key.split(":", 2)[2] == key]
        row = rows.get(key)
        if row is None or is_copy(key) or row.state not in _CLOSED:
            raise UsageError("Only a mail that went out, or was given up, can be sent again.")
        if any(copy.closed_at is None for copy in copies):
            raise UsageError("A copy of this mail is on its way already.")
        if len(copies) >= COPIES:
            raise UsageError(f"{COPIES} copies of this mail were sent. Write to the person by hand.")
        wanted = (EnrollmentState.pending,) if row.mail == "confirm" else _ASKED_FOR
        if enrollment.state not in wanted or is_suppressed(self.session, subscriber.email_key):
            raise UsageError(f"Somebody who is {enrollment.state} gets no {row.mail} mail.")

    def _uncertain(self, delivery_id: int) -> Delivery:
        found = self.session.get(Delivery, delivery_id)
        if found is not None:
            lock(self.session, found.enrollment_id)
            found = self.session.get(Delivery, delivery_id, with_for_update=True, populate_existing=True)
        if found is None or found.state is not DeliveryState.uncertain:
            raise UsageError("This mail is not uncertain any more.")
        return found

    def _write_down(self, deed: str, number: int, detail: str = "") -> None:
        write_down(self.session, self.user, deed, enrollment_id=number, detail=detail)


def undecided(session: Session, limit: int = 50) -> list[tuple[Delivery, Subscriber]]:
    """Uncertain mails that nobody has decided about, the oldest first."""
    query = (
        select(Delivery, Subscriber)
        .join(Enrollment, col(Enrollment.id) == col(Delivery.enrollment_id))
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .where(_IS_UNCERTAIN, ~col(Delivery.reason).startswith(HELD))
        .order_by(col(Delivery.id))
        .limit(limit)
    )
    return [(row, subscriber) for row, subscriber in session.exec(query)]
