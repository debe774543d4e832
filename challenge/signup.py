"""Who wants to join? Turns a form, a JSON body or a CSV row into a subscriber, an enrollment and a confirmation owed.

The answer to a sign-up never tells whether an address is known; that is why `register` returns nothing.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from challenge import asking
from challenge.clock import real_now
from challenge.errors import BadInput
from challenge.events import append, is_suppressed, lock, rhythm_of
from challenge.journey import FIRST_HOUR, LAST_HOUR, Pace
from challenge.models import Consent, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.programme.definition import Challenge
from challenge.programme.exercises import Goal, Position

DEFAULT_ZONE = "America/New_York"
DEFAULT_HOUR = 8
_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_JOINERS = "\u200c\u200d"  # names in Persian and Indic scripts need them
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff61\u2024\ufe12", "."))  # what IDNA (UTS 46) and readers take for a dot
# What mail programs make a link of: two letters and more behind a dot (t.co, g.page), whatever their case, an IP address,
# a scheme. J.R. and Ph.D. are none; J.Robert might be one, for nobody knows all top-level domains, and becomes J. Robert.
_LINK = re.compile(r"(?i:www\.|//|\b[a-z]{2,}:\S)|[^\s.]\.[^\W\d_]{2}|\d\.\d")
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "st", "fr", "sr"}
_MONEY = re.compile(r"[$\u00a2-\u00a5\u20a0-\u20cf]")
_MOST_DIGITS = 3  # "2nd" is a name's, "0 800 555" a telephone's
_TOUCH = sql(
    "INSERT INTO installation (name, value) VALUES ('signed_up_at', :at) ON CONFLICT (name) DO UPDATE SET value = :at"
)
_REPEATABLE = (EnrollmentState.stopped, EnrollmentState.ended)
_IN = (EnrollmentState.active, EnrollmentState.paused)


@dataclass(frozen=True)
class SignUp:
    """One checked sign-up. `email` as it is shown and mailed, `email_key` as it is compared."""

    email: str
    email_key: str
    first_name: str = ""
    timezone: str = DEFAULT_ZONE
    hour: int = DEFAULT_HOUR
    position: str = Position.seated
    goal: str = ""
    pace: str = ""
    locale: str = ""
    referrer: str = ""
    form_variant: str = ""
    utm: Mapping[str, str] = field(default_factory=dict)
    consent_source: str = "form"

    @property
    def source(self) -> str:
        """Where the person came from, in one word: the UTM source, else the referring site, else direct."""
        return self.utm.get("utm_source") or self.referrer or "direct"


def origin(fields: Mapping[str, object]) -> dict[str, str]:
    """Where somebody came from, as it is kept of a visit and of a sign-up: UTM words, referring site, form variant,
    and the `source` that follows from them."""
    words = {name: _label(fields, name, 100) for name in _UTM}
    words["referrer"] = _site(_label(fields, "referrer", 2000))
    words["form_variant"] = _label(fields, "form_variant", 32)
    return words | {"source": words["utm_source"] or words["referrer"] or "direct"}


def read(fields: Mapping[str, object], *, consent_source: str = "form") -> SignUp:
    """Checks every field. Raises BadInput for the first one that cannot be accepted; unknown fields are ignored."""
    email, key = address(_text(fields, "email", 320))
    came_from = origin(fields)
    return SignUp(
        email=email,
        email_key=key,
        first_name=name(_text(fields, "first_name", 400)),
        timezone=zone(_text(fields, "timezone", 64) or DEFAULT_ZONE),
        hour=hour(fields.get("hour")),
        position=_choice(fields, "position", Position) or Position.seated,
        goal=_choice(fields, "goal", Goal),
        pace=_choice(fields, "pace", Pace),
        locale=locale(_label(fields, "locale", 16)),
        referrer=came_from["referrer"],
        form_variant=came_from["form_variant"],
        utm={key: came_from[key] for key in _UTM if came_from[key]},
        consent_source=consent_source,
    )


def address(text: str) -> tuple[str, str]:
    """(as mailed, as compared) of an e-mail address. Raises BadInput."""
    text = text.strip()
    if not text:
        raise BadInput("email", "Please type your e-mail address.")
    try:
        valid = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        raise BadInput(
            "email", "This e-mail address does not look right. Does it have one @, and a dot behind it?"
        ) from None
    return valid.normalized, f"{valid.local_part.casefold()}@{valid.ascii_domain.lower()}"


def name(text: str) -> str:
    """A first name as it may stand in a mail to somebody who did not type it: no control characters, nothing that a mail
    program would decode or make a link of, no sum of money. What turns letters around or hides is taken out."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" or c in _JOINERS)
    text = " ".join(_parted(word) for word in text.split(" ")).strip()
    if "=?" in text or any(unicodedata.category(c) in {"Cc", "Cs", "Co", "Zl", "Zp"} for c in text):
        raise BadInput("first_name", "Please use plain letters for your first name.")
    seen = _as_seen(text)
    is_number = sum(c.isdigit() for c in seen) > _MOST_DIGITS
    if is_number or any(c in seen for c in "<>@") or _LINK.search(seen) or _MONEY.search(seen):
        raise BadInput("first_name", "Please type only your first name.")
    if len(text) > 80:
        raise BadInput("first_name", "Please use a shorter first name, up to 80 letters.")
    return text


def _parted(word: str) -> str:
    """`J.Robert` and `Mr.Bean` as they are meant: with the blank behind the dot, which no mail program makes a link of."""
    before, _, name = word.rpartition(".")
    initials = before.split(".")
    is_titled = initials[0].casefold() in _TITLES and len(initials) == 1 and len(name) > 1
    has_initials = all(len(one) == 1 and one.isupper() for one in initials) and name[:1].isupper() and len(name) > 2
    is_name = name.replace("-", "").replace("'", "").isalpha()
    return f"{before}. {name}" if is_name and (is_titled or has_initials) else word


def _as_seen(text: str) -> str:
    """The bare letters: without joiners and accents, of which any may stand unseen within a link, and one kind of dot."""
    bare = unicodedata.normalize("NFKD", text.translate(_DOTS)).translate(_DOTS)
    return "".join(c for c in bare if c not in _JOINERS and not unicodedata.category(c).startswith("M"))


def locale(text: str) -> str:
    """A language as catalogues are named (`de`, `pt_BR`); empty when it is no such word: nobody fails to join by it."""
    return text.replace("-", "_") if re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}", text) else ""


def zone(text: str) -> str:
    """An IANA zone name. Raises BadInput for any other word."""
    if text not in _zones():
        raise BadInput("timezone", "Please choose your time zone from the list.")
    return text


def hour(value: object) -> int:
    """A whole hour from 6 to 21; nothing given means 8. Raises BadInput."""
    if value is None or value == "":
        return DEFAULT_HOUR
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,2}", text) or not FIRST_HOUR <= int(text) <= LAST_HOUR:
        raise BadInput("hour", "Please choose an hour from %(first)s to %(last)s.", first=FIRST_HOUR, last=LAST_HOUR)
    return int(text)


def register(
    session: Session, signup: SignUp, challenge: Challenge, now: datetime, *, answers_who_is_in: bool = True
) -> None:
    """Writes the sign-up down; what is owed follows from it. Who is in already gets a mail that says so, unless a list is
    read (`answers_who_is_in`); nothing of what was typed is kept. For an address that is suppressed or was written to often
    enough nothing changes, which takes as long."""
    if _join(session, signup, challenge, now, answers_who_is_in=answers_who_is_in):
        _touch(session)
    else:
        pretend(session, signup, challenge, now)


def pretend(session: Session, signup: SignUp, challenge: Challenge, now: datetime) -> None:
    """Changes nothing, with the work of a sign-up: how long an answer takes must not tell more than its words."""
    with session.begin_nested() as taken_back:
        enrollment, subscriber, _ = _enrollment_for(session, _nobody(signup), challenge, now)
        append(session, enrollment, EventKind.signed_up, now, detail=_told(session, enrollment, subscriber, signup))
        session.flush()
        taken_back.rollback()
    _touch(session)


def _nobody(signup: SignUp) -> SignUp:
    return replace(signup, email_key=f"{secrets.token_hex(16)}@{signup.email_key.rpartition('@')[2]}")


def _touch(session: Session) -> None:
    """One row that every sign-up writes, so that each waits for the disk once."""
    session.connection().execute(_TOUCH, {"at": real_now().isoformat()})


def _join(session: Session, signup: SignUp, challenge: Challenge, now: datetime, *, answers_who_is_in: bool) -> bool:
    """Whether the sign-up was written down, with the work that it takes."""
    if is_suppressed(session, signup.email_key):
        return False
    known = _latest(session, signup, challenge)
    if known is not None and known.state in _IN:
        return answers_who_is_in and _tell_who_is_in(session, known, signup, challenge, now)
    if (known is None or known.state in _REPEATABLE) and not asking.may_ask(session, signup.email_key, now):
        return False
    enrollment, subscriber, is_new = _enrollment_for(session, signup, challenge, now)
    if enrollment.state is not EnrollmentState.pending:
        return False
    if not is_new:
        if asking.would_ask(session, enrollment, now) and not asking.may_ask(session, signup.email_key, now):
            return False
        _correct(session, subscriber, enrollment, signup)
    detail = _told(session, enrollment, subscriber, signup)
    append(session, enrollment, EventKind.signed_up, now, detail=detail)
    return True


def _tell_who_is_in(session: Session, known: Enrollment, signup: SignUp, challenge: Challenge, now: datetime) -> bool:
    """Writes down that they are owed a mail that says so, unless they had theirs; with the statements of a first sign-up.
    The lock keeps two of one moment from both being the first. False when they ended meanwhile."""
    enrollment, subscriber = lock(session, known.id or 0)
    if enrollment.state not in _IN:
        return False
    may_tell = asking.may_tell(session, subscriber.id or 0, now)
    with session.begin_nested() as taken_back:
        stranger = _new_enrollment(_subscriber(session, _nobody(signup), now), signup, challenge, now, run=1)
        session.add(stranger)
        session.flush()
        if not may_tell:
            append(session, stranger, EventKind.signed_up_again, now)
            session.flush()
        taken_back.rollback()
    if may_tell:
        append(session, enrollment, EventKind.signed_up_again, now)
    return True


def enroll_confirmed(
    session: Session, signup: SignUp, challenge: Challenge, now: datetime, *, consent_at: datetime, evidence: str
) -> bool:
    """Enrolls somebody who agreed elsewhere, with the evidence. False when there was nothing to do: already enrolled,
    suppressed, or somebody who stopped (an import never overrides that)."""
    if is_suppressed(session, signup.email_key):
        return False
    known = _latest(session, signup, challenge)
    if known is not None and known.state is not EnrollmentState.pending:
        return False
    enrollment, subscriber, _ = _enrollment_for(session, signup, challenge, now)
    detail = {**_told(session, enrollment, subscriber, signup), "imported": True}
    append(session, enrollment, EventKind.signed_up, now, detail=detail)
    confirm(session, enrollment, subscriber, challenge, now, source=f"import: {evidence}"[:200], given_at=consent_at)
    return True


def confirm(
    session: Session,
    enrollment: Enrollment,
    subscriber: Subscriber,
    challenge: Challenge,
    now: datetime,
    *,
    source: str,
    given_at: datetime | None = None,
) -> bool:
    """The person's yes, with the words they said yes to: from now on their last sign-up's wishes hold. False when they had
    said it before or have stopped since."""
    if enrollment.state is not EnrollmentState.pending:
        return False
    _fulfil(session, enrollment, subscriber, now)
    enrollment.state = EnrollmentState.active
    enrollment.confirmed_at = now
    session.add(
        Consent(
            enrollment_id=enrollment.id or 0,
            kind="challenge",
            version=challenge.consent.version,
            wording=challenge.consent.challenge,
            given_at=given_at or now,
            source=source,
            evidence={
                "signed_up_at": enrollment.signed_up_at.isoformat(),
                "came_from": enrollment.source,
                "form_variant": enrollment.form_variant,
            },
        )
    )
    append(session, enrollment, EventKind.confirmed, now, detail=rhythm_of(enrollment, subscriber))
    return True


def _enrollment_for(
    session: Session, signup: SignUp, challenge: Challenge, now: datetime
) -> tuple[Enrollment, Subscriber, bool]:
    """The pending or current enrollment of this address, made when there is none (True then); locked."""
    known = _latest(session, signup, challenge)
    if known is not None and known.state not in _REPEATABLE:
        return (*lock(session, known.id or 0), False)
    try:
        with session.begin_nested():
            subscriber = _subscriber(session, signup, now)
            enrollment = _new_enrollment(subscriber, signup, challenge, now, run=known.run + 1 if known else 1)
            session.add(enrollment)
            session.flush()
            return enrollment, subscriber, True
    except IntegrityError:  # the same person, the same second, another process
        latest = _latest(session, signup, challenge)
        if latest is None:
            raise
        return (*lock(session, latest.id or 0), False)


def _latest(session: Session, signup: SignUp, challenge: Challenge) -> Enrollment | None:
    return session.exec(
        select(Enrollment)
        .join(Subscriber)
        .where(Subscriber.email_key == signup.email_key, Enrollment.challenge == challenge.slug)
        .order_by(col(Enrollment.run).desc())
        .limit(1)
    ).first()


def _subscriber(session: Session, signup: SignUp, now: datetime) -> Subscriber:
    found = session.exec(select(Subscriber).where(Subscriber.email_key == signup.email_key)).first()
    if found is None:
        found = Subscriber(
            email=signup.email, email_key=signup.email_key, timezone=signup.timezone, hour=signup.hour, created_at=now
        )
    if found.id is None or not _has_said_yes(session, found):
        _apply(found, _wishes(signup))
    session.add(found)
    session.flush()
    return found


def _has_said_yes(session: Session, subscriber: Subscriber) -> bool:
    """Whether what is kept of them is their own word: anybody can type an address into a form."""
    said = select(Enrollment.id).where(
        Enrollment.subscriber_id == subscriber.id, col(Enrollment.confirmed_at).is_not(None)
    )
    return session.exec(said.limit(1)).first() is not None


def _wishes(signup: SignUp) -> dict[str, Any]:
    said = {"first_name": signup.first_name, "locale": signup.locale}
    return {"timezone": signup.timezone, "hour": signup.hour} | {name: word for name, word in said.items() if word}


def _told(session: Session, enrollment: Enrollment, subscriber: Subscriber, signup: SignUp) -> dict[str, Any]:
    """What the event keeps: the rhythm; and of somebody who is known, all wishes, for they hold from their yes on."""
    told = {**rhythm_of(enrollment, subscriber), "way": signup.consent_source[:200]}
    if not _has_said_yes(session, subscriber):
        return told
    return told | {"timezone": signup.timezone, "hour": signup.hour, "wishes": _wishes(signup)}


def _apply(subscriber: Subscriber, wishes: Mapping[str, Any]) -> None:
    for name, value in wishes.items():
        setattr(subscriber, name, value)


def _fulfil(session: Session, enrollment: Enrollment, subscriber: Subscriber, now: datetime) -> None:
    """The wishes that waited for the yes."""
    asked = select(Event).where(Event.enrollment_id == enrollment.id, Event.kind == EventKind.signed_up)
    last = session.exec(asked.order_by(col(Event.id).desc()).limit(1)).first()
    if last is None or not (wishes := last.detail.get("wishes")):
        return
    before = (subscriber.timezone, subscriber.hour)
    _apply(subscriber, wishes)
    session.add(subscriber)
    if before == (subscriber.timezone, subscriber.hour):
        return
    others = select(Enrollment).where(Enrollment.subscriber_id == subscriber.id, Enrollment.id != enrollment.id)
    for other in session.exec(others).all():
        append(session, other, EventKind.changed, now, detail=rhythm_of(other, subscriber))


def _new_enrollment(
    subscriber: Subscriber, signup: SignUp, challenge: Challenge, now: datetime, run: int
) -> Enrollment:
    enrollment = Enrollment(
        subscriber_id=subscriber.id or 0,
        challenge=challenge.slug,
        edition=challenge.edition,
        run=run,
        position=signup.position,
        goal=signup.goal,
        pace=signup.pace or challenge.pace,
        referrer=signup.referrer[:200],
        form_variant=signup.form_variant,
        variant=challenge.variants.for_mails(signup.email_key) if signup.locale in ("", challenge.locale) else "",
        source=signup.source[:100],
        signed_up_at=now,
    )
    for key, value in signup.utm.items():
        setattr(enrollment, key, value)
    return enrollment


def _correct(session: Session, subscriber: Subscriber, enrollment: Enrollment, signup: SignUp) -> None:
    """Somebody who signs up again before saying yes means what they typed last."""
    if not _has_said_yes(session, subscriber):
        _apply(subscriber, _wishes(signup))
    enrollment.position, enrollment.goal = signup.position, signup.goal or enrollment.goal
    enrollment.pace = signup.pace or enrollment.pace
    session.add_all([subscriber, enrollment])


def consent_time(text: str, now: datetime) -> datetime:
    """When somebody agreed, from ISO 8601. Raises BadInput: missing, unreadable, or in the future."""
    try:
        at = datetime.fromisoformat(text.strip())
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # a zone can lead before the first year
        raise BadInput("consent_at", "consent_at must be a time like 2026-10-01T09:30:00Z.") from None
    if at > now:
        raise BadInput("consent_at", "consent_at lies in the future.")
    return at


@cache
def _zones() -> frozenset[str]:
    return frozenset(
        zone for zone in available_timezones() if not zone.startswith(("posix/", "right/")) and zone != "localtime"
    )


def zones() -> Iterable[str]:
    """Every zone name that is accepted, sorted."""
    return sorted(_zones())


def _text(fields: Mapping[str, object], key: str, longest: int) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(key, "%(name)s must be text.", name=key)
    if len(value) > longest:
        raise BadInput(key, "%(name)s is too long.", name=key)
    return value.strip(" \t")


def _label(fields: Mapping[str, object], key: str, longest: int) -> str:
    """A word for the statistics: cut rather than refused, for nobody should fail to join because of a tag."""
    value = fields.get(key)
    return "".join(c for c in value if c.isprintable()).strip()[:longest] if isinstance(value, str) else ""


def _choice(fields: Mapping[str, object], key: str, options: Iterable[str]) -> str:
    word = _text(fields, key, 32)
    if word and word not in list(options):
        raise BadInput(key, "Please choose one of: %(options)s.", options=", ".join(options))
    return word


def _site(referrer: str) -> str:
    """Only the referring site is kept, never the page: a page's address can tell who somebody is."""
    try:
        host = urlsplit(referrer if "//" in referrer else f"//{referrer}").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")[:200]
