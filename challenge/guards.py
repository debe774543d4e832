"""Are our mails still welcome? Counts per recipient domain and hour, and the breaker that pauses before a provider does.

The ledger tells what was sent and deferred, `bounced` what came back; `watch` is asked by the dispatch loop and looks at
most every half minute. What came back by plain mail anybody can write about a mail they got: it ends its own address, and
counts here only when five people of three domains who had said yes are told of. All times are challenge time, but a domain's
pause: that is real time, as any rate. What led to a stop or a pause leads to no second one: only what comes after it counts.
Thresholds are the providers' own (Gmail and Yahoo: complaints under 0.1 %, never 0.3 %; Gmail's bulk rules from about 5,000
a day).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, func, or_, select

from challenge.alerts import raise_alert
from challenge.clock import real_now
from challenge.db import Database, among, at_end, inserting
from challenge.dispatch import REFUSED, is_stopped, stop_sending
from challenge.models import Alert, DomainHour, Enrollment, InboundReport, Installation, RateBudget, Subscriber
from challenge.rates import PAUSED
from challenge.settings import Settings

DAY = timedelta(hours=24)
COMPLAINTS_WITHIN = timedelta(days=7)  # they come days after the mail
DEFERRALS_WITHIN = timedelta(hours=2)
PAUSE = timedelta(hours=1)
GMAIL = ("gmail.com", "googlemail.com")
GMAIL_WARN, GMAIL_BULK = 4000, 5000
_LEAST_COMPLAINTS, _LEAST_BOUNCES, _LEAST_DEFERRED = 3, 10, 20
BY_MAIL = "mail"  # the source of a report that came as a mail and not from a provider's signed webhook
_LEAST_BY_MAIL, _LEAST_DOMAINS_BY_MAIL = 5, 3
_KEPT = timedelta(days=35)
_LOOK_SECONDS = 30.0
_TRIPPED = "guard_tripped"
_PAUSED_AT = "paused_at:"
PUT_OFF = "put_off:"  # since when a mail is
_REMEMBERED = (_PAUSED_AT, PUT_OFF, REFUSED)  # scopes in challenge time
_TALLY = "tally"
_SUMS = ("sent", "deferred", "bounced", "complained")
_table: Any = DomainHour.__table__  # type: ignore[attr-defined]
_looked_at = 0.0


@dataclass(frozen=True)
class Sums:
    """What became of the mails to one domain (empty: to all) within a window."""

    domain: str = ""
    sent: int = 0
    deferred: int = 0
    bounced: int = 0
    complained: int = 0

    @property
    def complaint_percent(self) -> float:
        return 100 * self.complained / self.sent if self.sent else 0.0

    @property
    def bounce_percent(self) -> float:
        """Of those taken and those refused: a mailbox that a relay refuses at once was never sent."""
        tried = self.sent + self.bounced
        return 100 * self.bounced / tried if tried else 0.0

    @property
    def deferral_percent(self) -> float:
        tried = self.sent + self.deferred
        return 100 * self.deferred / tried if tried else 0.0


@dataclass(frozen=True)
class Numbers:
    """What a dashboard shows: the last day by domain (most mails first), complaints of a week, Gmail's day, and what is
    held back until when (real time)."""

    day: Sums
    domains: tuple[Sums, ...]
    week: Sums
    gmail_day: int
    paused: Mapping[str, datetime]
    stopped: str


def tally(session: Session, counts: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Adds to the hour's counts: (domain, `sent` | `deferred` | `bounced` | `complained`) -> how many."""
    waiting = session.info.get(_TALLY)
    if waiting is None:
        waiting = session.info[_TALLY] = Counter()
        at_end(session, _TALLY, _write_tally)
    waiting.update({(domain[:255], _hour(now), what): count for (domain, what), count in counts.items()})


def _write_tally(session: Session) -> None:
    rows: dict[tuple[str, datetime], dict[str, Any]] = {}
    for (domain, hour, what), count in sorted(session.info.pop(_TALLY).items()):
        rows.setdefault((domain, hour), {"domain": domain, "hour": hour, **dict.fromkeys(_SUMS, 0)})[what] += count
    made = inserting(session, _table).values(list(rows.values()))
    more = {name: _table.c[name] + made.excluded[name] for name in _SUMS}
    session.execute(made.on_conflict_do_update(index_elements=["domain", "hour"], set_=more))


def domain_of(email_key: str) -> str:
    return email_key.rpartition("@")[2]


def day_began(now: datetime) -> datetime:
    """Where the desk's last day begins: with the hour in which it was 24 hours ago, for counts are kept by the hour."""
    return _hour(now - DAY)


def numbers(session: Session, now: datetime, domains: int = 20) -> Numbers:
    """The numbers of the sliding windows."""
    day = _by_domain(session, day_began(now) - timedelta(microseconds=1))
    held = select(RateBudget).where(col(RateBudget.scope).startswith(PAUSED), col(RateBudget.free_at) > real_now())
    return Numbers(
        day=_total(day),
        domains=tuple(sorted(day, key=lambda sums: -sums.sent - sums.deferred)[:domains]),
        week=_total(_by_domain(session, now - COMPLAINTS_WITHIN)),
        gmail_day=sum(sums.sent for sums in day if sums.domain in GMAIL),
        paused={row.scope.removeprefix(PAUSED): row.free_at for row in session.exec(held)},
        stopped=is_stopped(session),
    )


def watch(database: Database, settings: Settings, now: datetime, *, every: float = _LOOK_SECONDS) -> bool:
    """Looks now and then, whether or not anything is due; whether it looked. Writes only when there is something to say."""
    global _looked_at  # noqa: PLW0603 - one loop per process asks, many times a minute
    if _looked_at and time.monotonic() - _looked_at < every:
        return False
    _looked_at = time.monotonic()
    with database.read() as session:
        old = select(RateBudget.scope).where(_is_forgotten(now)).limit(1)
        if not _verdicts(session, settings, now) and session.exec(old).first() is None:
            return True
    with database.write() as session:
        for verdict in _verdicts(session, settings, now):
            _act(session, verdict, now)
        session.exec(delete(DomainHour).where(col(DomainHour.hour) < now - _KEPT))
        session.exec(delete(RateBudget).where(_is_forgotten(now)))
    return True


def _is_forgotten(now: datetime) -> ColumnElement[bool]:
    scopes = (col(RateBudget.scope).startswith(prefix) for prefix in _REMEMBERED)
    return or_(*scopes) & (col(RateBudget.free_at) < now - _KEPT)


@dataclass(frozen=True)
class Verdict:
    """One thing to say; `stop`: no mail leaves, `pause`: none to this domain for a while."""

    code: str
    words: str
    stop: bool = False
    pause: str = ""


def _verdicts(session: Session, settings: Settings, now: datetime) -> list[Verdict]:
    since, paused_at = _tripped_at(session), _paused_at(session)
    week_ago, day_ago, soon = (_later(now - span, since) for span in (COMPLAINTS_WITHIN, DAY, DEFERRALS_WITHIN))
    week, day = _by_domain(session, week_ago), _by_domain(session, day_ago)
    found = [*_of_all(_total(week), _total(day), settings), *_gmail(session, now)]
    for sums in _since_pause(session, "complaints", week, week_ago, paused_at):
        found += _complaints(sums, settings, f"the mails to {sums.domain}", sums.domain)
    for sums in _since_pause(session, "bounces", day, day_ago, paused_at):
        found += _bounces(sums, settings, f"the mails to {sums.domain}", sums.domain)
    for sums in _since_pause(session, "deferrals", _by_domain(session, soon), soon, paused_at):
        found += _deferrals(sums, settings)
    return [verdict for verdict in found if not _is_known(session, verdict)]


def _of_all(week: Sums, day: Sums, settings: Settings) -> list[Verdict]:
    return [*_complaints(week, settings, "all mails", ""), *_bounces(day, settings, "all mails", "")]


def _complaints(sums: Sums, settings: Settings, of: str, domain: str) -> list[Verdict]:
    rate, least = sums.complaint_percent, settings.guard_least_mails
    if sums.sent < least or sums.complained < 2:
        return []
    told = f"{sums.complained} of {sums.sent} ({rate:.2f} %) of {of} in seven days were called spam"
    code = f"complaints:{domain}" if domain else "complaints"
    limit = settings.guard_complaint_stop
    if limit and rate >= limit and sums.complained >= _LEAST_COMPLAINTS:
        return [Verdict(code, f"{told}; the limit is {limit:g} %. {_WHAT_TO_DO}", stop=not domain, pause=domain)]
    if settings.guard_complaint_warn and rate >= settings.guard_complaint_warn:
        return [Verdict(code, f"{told}. Gmail and Yahoo want less than {settings.guard_complaint_warn:g} %.")]
    return []


def _bounces(sums: Sums, settings: Settings, of: str, domain: str) -> list[Verdict]:
    limit = settings.guard_bounce_stop
    is_enough = sums.sent + sums.bounced >= settings.guard_least_mails and sums.bounced >= _LEAST_BOUNCES
    if not limit or not is_enough or sums.bounce_percent < limit:
        return []
    told = f"{sums.bounced} of {sums.sent + sums.bounced} ({sums.bounce_percent:.1f} %) of {of} in a day had no mailbox"
    code = f"bounces:{domain}" if domain else "bounces"
    return [Verdict(code, f"{told}; the limit is {limit:g} %. {_WHAT_TO_DO}", stop=not domain, pause=domain)]


def _deferrals(sums: Sums, settings: Settings) -> list[Verdict]:
    limit, tried = settings.guard_deferral_pause, sums.sent + sums.deferred
    is_enough = tried >= settings.guard_least_mails and sums.deferred >= _LEAST_DEFERRED
    if not limit or not is_enough or sums.deferral_percent < limit:
        return []
    words = f"{sums.domain} put off {sums.deferred} of {tried} mails in two hours; it is left alone for an hour."
    return [Verdict(f"deferrals:{sums.domain}", words, pause=sums.domain)]


def _gmail(session: Session, now: datetime) -> list[Verdict]:
    sent = sum(sums.sent for sums in _by_domain(session, now - DAY) if sums.domain in GMAIL)
    if sent < GMAIL_WARN:
        return []
    rules = "its rules for bulk senders hold from about 5,000, and for good"
    bulk = "This counts as bulk" if sent >= GMAIL_BULK else "Close to bulk"
    return [Verdict("gmail_day", f"{bulk}: {sent} mails to Gmail in a day; {rules}. `challenge doctor` checks them.")]


_WHAT_TO_DO = "Look at where these people came from, then `challenge resume-sending`."


def _act(session: Session, verdict: Verdict, now: datetime) -> None:
    raise_alert(session, verdict.code[:64], verdict.words)
    if verdict.stop:
        stop_sending(session, verdict.words)
        session.merge(Installation(name=_TRIPPED, value=now.isoformat()))
    elif verdict.pause:
        pause(session, verdict.pause)
        session.merge(RateBudget(scope=f"{_PAUSED_AT}{verdict.code}"[:255], free_at=now))


def pause(session: Session, domain: str) -> None:
    """No mail to this recipient domain for an hour of real time, or until `resume_sending`."""
    until = {"free_at": real_now() + PAUSE}
    made = inserting(session, RateBudget).values(scope=f"{PAUSED}{domain}"[:255], **until)
    paused = made.on_conflict_do_update(index_elements=["scope"], set_=until)
    at_end(session, f"pause {domain}", lambda last: last.execute(paused))


def _is_known(session: Session, verdict: Verdict) -> bool:
    """Nothing to do: sending is stopped, the domain is paused already, or the same words were said before."""
    if verdict.stop:
        return bool(is_stopped(session))
    if verdict.pause:
        row = session.get(RateBudget, f"{PAUSED}{verdict.pause}"[:255])
        return row is not None and row.free_at > real_now()
    alert = session.get(Alert, verdict.code[:64])
    return alert is not None and alert.text == verdict.words


def _by_domain(session: Session, since: datetime, domain: str = "") -> list[Sums]:
    sums = [func.sum(getattr(DomainHour, name)) for name in _SUMS]
    query = select(DomainHour.domain, *sums).where(col(DomainHour.hour) > since).group_by(DomainHour.domain)
    if domain:
        query = query.where(DomainHour.domain == domain)
    found = [Sums(name, *(int(count or 0) for count in counts)) for name, *counts in session.execute(query)]
    told = [_told_by_mail(session, since, what) for what in ("bounced", "complained")]
    bounced, complained = (Counter({domain: one[domain]}) if domain else one for one in told)
    return _with_mail(found, +bounced, +complained)


def _told_by_mail(session: Session, since: datetime, what: str) -> Counter[str]:
    """Of how many people of each domain a mail told that they complained or have no mailbox; none while few are."""
    kind = InboundReport.kind == "complaint" if what == "complained" else InboundReport.hardness == "hard"
    reported = select(InboundReport.enrollment_id).where(
        kind,
        InboundReport.source == BY_MAIL,
        InboundReport.effect == "suppressed",
        col(InboundReport.occurred_at) > since,
    )
    # Reports are few. Joined in one statement, a database that knows nothing of their number begins with all people.
    runs = [number for number in set(session.exec(reported)) if number is not None]
    if len(runs) < _LEAST_BY_MAIL:
        return Counter()
    query = (
        select(Subscriber.email_key)
        .join(Enrollment, col(Enrollment.subscriber_id) == col(Subscriber.id))
        .where(among(session, Enrollment.id, runs), col(Enrollment.confirmed_at).is_not(None))
        .distinct()
    )
    people = Counter(domain_of(key) for key in session.exec(query))
    is_enough = people.total() >= _LEAST_BY_MAIL and len(people) >= _LEAST_DOMAINS_BY_MAIL
    return people if is_enough else Counter()


def _with_mail(sums: list[Sums], bounced: Counter[str], complained: Counter[str]) -> list[Sums]:
    known = {one.domain: one for one in sums}
    for domain in bounced | complained:
        one = known.get(domain, Sums(domain))
        known[domain] = replace(
            one, bounced=one.bounced + bounced[domain], complained=one.complained + complained[domain]
        )
    return list(known.values())


def _total(of: list[Sums]) -> Sums:
    return Sums("", *(sum(getattr(sums, name) for sums in of) for name in _SUMS))


def _tripped_at(session: Session) -> datetime | None:
    """What led to the last stop was judged by a human who resumed: it does not trip the breaker again."""
    row = session.get(Installation, _TRIPPED)
    return datetime.fromisoformat(row.value) if row else None


def _paused_at(session: Session) -> dict[str, datetime]:
    """By a verdict's code: when it last paused its domain."""
    rows = session.exec(select(RateBudget).where(col(RateBudget.scope).startswith(_PAUSED_AT)))
    return {row.scope.removeprefix(_PAUSED_AT): row.free_at for row in rows}


def _since_pause(
    session: Session, what: str, sums: list[Sums], since: datetime, paused_at: Mapping[str, datetime]
) -> list[Sums]:
    """The sums since `since`; of a domain that was paused meanwhile for this reason, only what came after."""
    found: list[Sums] = []
    for one in sums:
        at = paused_at.get(f"{what}:{one.domain}", since)
        found += [one] if at <= since else _by_domain(session, at, one.domain)
    return found


def _later(one: datetime, other: datetime | None) -> datetime:
    return max(one, other) if other else one


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)
