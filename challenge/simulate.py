"""How would people behave? Synthetic participants who use the real service over HTTP, for the demo and
for rehearsals.

Each person reads their mails in the inbox, opens some, taps "I did it" on most days, rests when tired, and sometimes
stops. A few are behind mail scanners, a few join the paid programme, whose site tells of it as a real one would. Nobody
here has a shortcut: they only see what a person sees.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import http.client
import itertools
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlmodel import col, select

from challenge.clock import Clock, change_speed, real_now
from challenge.db import Database
from challenge.embedded.store import Inbox, StoredMail
from challenge.models import OPEN_STATES, Delivery, Enrollment
from challenge.settings import Settings

_ZONES = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Europe/London",
    "Europe/Berlin", "Africa/Lagos", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
_SOURCES = ("newsletter", "podcast", "instagram", "facebook", "friend", "")
_NAMES = (
    "Ana",
    "Ben",
    "Chloé",
    "Dmitri",
    "Elif",
    "Fatima",
    "Grace",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mía",
    "Noor",
    "Olga",
    "",
)
_AGENTS = {
    "browser": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "gmail": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "apple": "Mozilla/5.0",
    "yahoo": "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
}
_SIGN_UP_HOURS = 30
_LOOKS, _JOINS = 0.5, 0.3  # of those who are invited, and of those who look
_QUIET_LOOKS = 40  # at 20 a second
_SLOW_SPEED = 1440.0
_REPORT_SECONDS = 5.0


@dataclass
class Person:
    """One synthetic participant. `keen`: chance to do a day; `tired`: chance to rest instead."""

    email: str
    name: str
    zone: str
    hour: int
    position: str
    source: str
    client: str
    keen: float
    tired: float
    confirms: bool
    stops_on: int
    scanned: bool
    signs_up_after: timedelta
    forgets: bool


class Crowd:
    """All of them, in one thread with a few helpers for HTTP."""

    def __init__(
        self,
        settings: Settings,
        web: str,
        count: int,
        echo: Callable[[str], None],
        seed: int = 5,
        *,
        stays: bool = True,
    ) -> None:
        """`stays`: when most are through, the clock slows down for whoever looks around; otherwise `is_over` comes."""
        self._settings, self._echo, self._stays = settings, echo, stays
        self._host = urlsplit(web)
        self._people = {person.email: person for person in _people(count, seed)}
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)
        self._seen: Counter[str] = Counter()
        self._reported_at = 0.0
        self._said = ""
        self._now: datetime | None = None
        self._numbers = itertools.count()
        self._slowed = False
        self._quiet = 0
        self.is_over = False

    @property
    def lost(self) -> int:
        """Requests that the web side did not answer."""
        return self._seen["lost"]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def report(self) -> None:
        """One line about how far they are, every few seconds; called by the supervisor."""
        if self._now is None or time.monotonic() - self._reported_at < _REPORT_SECONDS:
            return
        self._reported_at = time.monotonic()
        days = "  ".join(f"day {n}: {self._seen[f'day-{n}']}/{self._seen[f'done-{n}']}" for n in range(1, 6))
        line = f"{self._seen['signed up']} signed up, {self._seen['confirmed']} confirmed.  mails/taps  {days}"
        if line != self._said:
            self._echo(f"{self._now:%a %d %b %H:%M}  {line}")
        self._said = line

    def _run(self) -> None:
        database = Database(self._settings.database)
        clock, inbox = Clock(database), Inbox(self._settings.data_dir / "inbox.sqlite3")
        start = clock.now()
        acts: list[tuple[datetime, int, Callable[[], None]]] = []
        for person in self._people.values():
            self._later(acts, start + person.signs_up_after, lambda person=person: self._sign_up(person))  # type: ignore[misc]
        last = 0
        with ThreadPoolExecutor(4) as pool:
            while not self._stopping.wait(0.05):
                now = self._now = clock.now()
                for mail in inbox.since(last):
                    last = mail.id
                    if mail.recipient in self._people:
                        self._react(acts, self._people[mail.recipient], mail, now)
                ready = []
                while acts and acts[0][0] <= now:
                    ready.append(heapq.heappop(acts)[2])
                list(pool.map(self._do, ready))
                if self._stays:
                    self._slow_down(database, acts)
                else:
                    self._look_whether_over(database, acts)
        inbox.close()
        database.close()

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, http.client.HTTPException):
            self._seen["lost"] += 1

    def _look_whether_over(self, database: Database, acts: list[tuple[datetime, int, Callable[[], None]]]) -> None:
        """Nobody has anything left to do, no mail is on its way, and none will be planned; for a while, since a mail that
        was just sent is answered, and planned on from, a moment later."""
        self._quiet = 0 if acts or not self._all_is_sent(database) else self._quiet + 1
        self.is_over = self._quiet > _QUIET_LOOKS

    def _all_is_sent(self, database: Database) -> bool:
        open_mails = select(Delivery.id).where(col(Delivery.state).in_(OPEN_STATES)).limit(1)
        plans = select(Enrollment.id).where(col(Enrollment.plan_at).is_not(None)).limit(1)
        with database.read() as session:
            return session.exec(open_mails).first() is None and session.exec(plans).first() is None

    def _slow_down(self, database: Database, acts: list[tuple[datetime, int, Callable[[], None]]]) -> None:
        finished = self._seen["finish"] > 0.9 * (self._seen["confirmed"] - self._seen["stopped"])
        if self._slowed or acts or not finished or not self._seen["confirmed"]:
            return
        self._slowed = True
        with database.write() as session:
            change_speed(session, _SLOW_SPEED)
        self._echo(
            "\nMost people have had all five days. From now on a day takes a minute. Sign up yourself, and look around.\n"
        )

    def _later(
        self, acts: list[tuple[datetime, int, Callable[[], None]]], at: datetime, act: Callable[[], None]
    ) -> None:
        heapq.heappush(acts, (at, next(self._numbers), act))

    def _react(
        self, acts: list[tuple[datetime, int, Callable[[], None]]], person: Person, mail: StoredMail, now: datetime
    ) -> None:
        chance, links = self._random.random, _Mail(mail)
        self._seen[mail.key.partition(":")[0]] += 1
        if person.scanned:
            self._later(acts, now, lambda: self._scan(links))
        if mail.key.startswith("confirm"):
            if person.confirms:
                self._later(acts, now + timedelta(minutes=5 + 50 * chance()), lambda: self._confirm(person, links))
            return
        if chance() < 0.8:
            self._later(acts, now + timedelta(minutes=10 + 120 * chance()), lambda: self._open(person, links))
        if mail.key == "invitation" and chance() < _LOOKS:
            is_joining, at = chance() < _JOINS, now + timedelta(minutes=30 + 600 * chance())
            self._later(acts, at, lambda: self._look_at_programme(person, links, is_joining=is_joining))
        if not mail.key.startswith("day-"):
            return
        if person.forgets and mail.key == "day-3":  # signs up once more, as somebody who lost the mails does
            self._later(acts, now + timedelta(minutes=2), lambda: self._post_form(person))
        day, at = int(mail.key[4:]), now + timedelta(minutes=20 + 300 * chance())
        if day == person.stops_on:
            self._later(acts, at, lambda: self._stop(links))
        elif chance() < person.tired:
            self._later(acts, at, lambda: self._press(links, "rest", day))
        elif chance() < person.keen:
            self._later(acts, at, lambda: self._press(links, "complete", day))

    def _sign_up(self, person: Person) -> None:
        for _ in range(self._random.choice((1, 2, 3))):  # they look at the page first; so do others, who go away again
            self._seen["visits"] += 1
            page = f"/?utm_source={person.source}" if person.source else "/"
            self._request("GET", page, agent=f"{_AGENTS['browser']} Visitor/{self._seen['visits']}")
        self._post_form(person)
        self._seen["signed up"] += 1

    def _post_form(self, person: Person) -> None:
        fields = {
            "email": person.email,
            "first_name": person.name,
            "timezone": person.zone,
            "hour": person.hour,
            "position": person.position,
        }
        if person.source:
            fields["utm_source"] = person.source
        self._request("POST", "/signup", urlencode(fields), {"Content-Type": "application/x-www-form-urlencoded"})

    def _confirm(self, person: Person, mail: _Mail) -> None:
        path = mail.path("/confirm/")
        if path and self._submit(path, path, {}):
            self._seen["confirmed"] += 1

    def _open(self, person: Person, mail: _Mail) -> None:
        if mail.pixel:
            self._request("GET", mail.pixel, agent=_AGENTS[person.client])

    def _press(self, mail: _Mail, what: str, day: int) -> None:
        """Tap the mail's link, land on the day's page, press the button there."""
        if not mail.day_link:
            return
        status, _, location = self._request("GET", mail.day_link)
        path = urlsplit(location).path
        if status == 302 and path and self._submit(path, f"{path}/{what}", {}) and what == "complete":
            self._seen[f"done-{day}"] += 1

    def _look_at_programme(self, person: Person, mail: _Mail, *, is_joining: bool) -> None:
        """The programme's site is elsewhere: of it there is only what it tells (`POST /api/v1/conversions`)."""
        _, _, location = self._request("GET", mail.path("/c/"))
        ref = parse_qs(urlsplit(location).query).get("ref")
        if not ref or not is_joining:
            return
        order = json.dumps({"key": f"order of {person.email}", "ref": ref[0], "amount": "49", "currency": "USD"})
        at = int(real_now().timestamp())
        proof = hmac.new(self._settings.conversion_secret.encode(), f"{at}.{order}".encode(), hashlib.sha256)
        signed = {"Content-Type": "application/json", "X-Challenge-Signature": f"t={at},v1={proof.hexdigest()}"}
        status, _, _ = self._request("POST", "/api/v1/conversions", order, signed)
        self._seen["joined" if status == 201 else "lost"] += 1

    def _stop(self, mail: _Mail) -> None:
        if mail.unsubscribe:
            self._request(
                "POST", mail.unsubscribe, "do=everything", {"Content-Type": "application/x-www-form-urlencoded"}
            )
            self._seen["stopped"] += 1

    def _scan(self, mail: _Mail) -> None:
        """A mail scanner: every link, at once, and nothing is pressed."""
        for path in mail.paths:
            self._request("GET", path)

    def _submit(self, page: str, action: str, fields: dict[str, str]) -> bool:
        """Loads a page and presses its button: the nonce is on the page."""
        _, body, _ = self._request("GET", page)
        nonce = re.search(r'name="nonce" value="([^"]+)"', body)
        if nonce is None:
            return False
        form = urlencode({"nonce": nonce[1], **fields})
        status, _, _ = self._request("POST", action, form, {"Content-Type": "application/x-www-form-urlencoded"})
        return status == 200

    def _request(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        agent: str = _AGENTS["browser"],
    ) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(self._host.hostname or "", self._host.port, timeout=30)
        try:
            connection.request(method, path, body, {"User-Agent": agent, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace"), answer.headers.get("Location", "")
        finally:
            connection.close()


class _Mail:
    """The links of one mail, as paths of this service."""

    def __init__(self, mail: StoredMail) -> None:
        text, page = mail.text, mail.html
        self.paths = [urlsplit(link).path for link in re.findall(r"https?://[^\s]+", text)]
        self.unsubscribe = self.path("/unsubscribe/")
        marker = re.search(r"I did day \d+:\s+(\S+)", text)
        self.day_link = urlsplit(marker[1]).path if marker else ""
        pixel = re.search(r'src="([^"]*/o/[^"]+\.gif)"', page)
        self.pixel = urlsplit(pixel[1]).path if pixel else ""

    def path(self, start: str) -> str:
        return next((path for path in self.paths if path.startswith(start)), "")


def _people(count: int, seed: int) -> list[Person]:
    """Always the same people for the same seed."""
    dice = random.Random(seed)
    return [
        Person(
            email=f"person{number}@{dice.choice(('gmail', 'yahoo', 'icloud', 'clinic'))}.example",
            name=dice.choice(_NAMES),
            zone=dice.choice(_ZONES),
            hour=dice.choice((7, 8, 8, 8, 9, 10)),
            position=dice.choice(("seated", "seated", "standing", "lying")),
            source=dice.choice(_SOURCES),
            client=dice.choice(tuple(_AGENTS)),
            keen=dice.betavariate(5, 2),
            tired=dice.choice((0.0, 0.03, 0.1)),
            confirms=dice.random() < 0.94,
            stops_on=dice.choice((2, 3, 4)) if dice.random() < 0.05 else 0,
            scanned=dice.random() < 0.08,
            signs_up_after=timedelta(hours=_SIGN_UP_HOURS * dice.random()),
            forgets=number % 25 == 0,
        )
        for number in range(1, count + 1)
    ]
