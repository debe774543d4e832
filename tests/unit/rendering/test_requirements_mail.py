"""What mailbox providers and the RFCs ask of each mail (section 1 of the requirements), on the bytes that go out."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from challenge.errors import SettingsError
from challenge.programme.definition import shipped
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings, read_settings
from challenge.signup import address
from challenge.tokens import Tokens

SETTINGS = Settings(
    secret_key="k" * 40,
    base_url="https://challenge.example",
    mail_from="Dr. Gretchen Hawley <hello@challenge.example>",
    mail_reply_to="hello@challenge.example",
    mail_postal_address="1 Main Street, Springfield",
)
COMPOSER = Composer(SETTINGS, shipped())
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
CONTENTS = [Content("day", day=day, done=tuple(range(1, day))) for day in range(1, 6)] + [
    *(Content(mail) for mail in ("confirm", "welcome", "comeback")),
    Content("already", day=3, done=(1,), stage="day", next_on="2027-03-04"),
    Content("rest", day=2, done=(1,)),
    Content("nudge", day=2, done=(1,)),
    Content("finish", done=(1, 2, 3, 4, 5)),
]
EVERY = pytest.mark.parametrize("content", CONTENTS, ids=lambda content: f"{content.mail}-{content.day}")
PLANNED = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "List-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "Auto-Submitted",
    "X-Challenge-Mail",
    "MIME-Version",
    "Content-Type",
]


def composed(content: Content, number: int = 7, to: str = "ana@example.com", composer: Composer = COMPOSER) -> bytes:
    key = f"day-{content.day}" if content.mail == "day" else content.mail
    letter = Letter(Address(number, number + 1000, key), to, "Zoë", content._replace(has_name=True), NOON)
    return composer.compose(letter).data


def parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def raw(data: bytes, name: str) -> str:
    """The header's value as it goes over the wire, unfolded."""
    found = re.findall(rf"(?im)^{name}: ([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", data.partition(b"\r\n\r\n")[0].decode())
    assert len(found) == 1, name
    return str(found[0]).replace("\r\n", "").strip()


@EVERY
def test_it_has_each_planned_header_once_and_no_other(content: Content) -> None:
    """P11, R7, R26: the fields of RFC 5322 3.6 once each, the List fields once each, nothing unplanned."""
    head = composed(content).partition(b"\r\n\r\n")[0].decode("ascii")
    names = re.findall(r"(?m)^([^\s:]+):", head)
    assert sorted(names) == sorted(PLANNED)


@EVERY
def test_it_is_sent_by_one_named_sender(content: Content) -> None:
    """P9: one From, the same for all mails, with nothing of the recipient or the subject in its name."""
    assert raw(composed(content), "From") == '"Dr. Gretchen Hawley" <hello@challenge.example>'


@pytest.mark.parametrize("sender", ["Ada 💪 <a@b.example>", "a@b.example\r\nBcc: x@y.example", "Ada <a@b>", "Ada"])
def test_it_refuses_senders_that_gmail_would(sender: str) -> None:
    """P9, P11."""
    with pytest.raises(SettingsError, match="CHALLENGE_MAIL_FROM"):
        read_settings({"CHALLENGE_MAIL_FROM": sender, "CHALLENGE_SECRET_KEY": "k" * 40}, None)


@EVERY
def test_it_unsubscribes_over_https_first_and_by_mail(content: Content) -> None:
    """P7, R1, R7: both headers, one https address first, then mailto; no blank inside the brackets; a link in the body."""
    data = composed(content)
    links = re.fullmatch(
        r"<(https://[^\s<>]+)>, <(mailto:[^\s<>]+\?subject=unsubscribe)>", raw(data, "List-Unsubscribe")
    )
    assert links is not None
    assert raw(data, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    text, page = (part.get_content() for part in parsed(data).iter_parts())
    assert links[1] in text
    assert f'href="{links[1]}"' in page


def test_it_keeps_a_long_link_in_one_piece() -> None:
    """R7: an address of any length is not folded inside its brackets."""
    long = Composer(SETTINGS.model_copy(update={"base_url": "https://challenge.example/" + "p" * 300}), shipped())
    head = composed(CONTENTS[0], composer=long).partition(b"\r\n\r\n")[0]
    assert re.search(rb"List-Unsubscribe: <https://challenge\.example/p{300}/unsubscribe/[\w-]+>,\r\n", head)


def test_it_names_one_list_for_all_days() -> None:
    """R8: RFC 2919: one List-ID, in a domain of ours, the same each day, at most 255 octets."""
    (one,) = {raw(composed(content, number), "List-ID") for content in CONTENTS for number in (1, 99)}
    found = re.fullmatch(r"[^<>]+ <([a-z0-9-]+)\.challenge\.example>", one)
    assert found is not None
    assert len(one) <= 255
    assert "localhost" not in one


def test_it_gives_feedback_ids_that_can_be_counted() -> None:
    """P15: `a:b:c:SenderId`, SenderId of 5 to 15 characters, the same for all, and nothing that is unique per mail."""
    ids = {raw(composed(content, number), "Feedback-ID") for content in CONTENTS for number in range(1, 20)}
    assert len(ids) == len({content.mail for content in CONTENTS})
    parts = [re.fullmatch(r"([\w-]+):([\w-]+):([\w-]+):([\w]{5,15})", one) for one in ids]
    assert all(parts)
    assert len({part[4] for part in parts if part}) == 1


@EVERY
def test_it_says_that_a_machine_wrote_it(content: Content) -> None:
    """R17: RFC 3834."""
    assert raw(composed(content), "Auto-Submitted") == "auto-generated"


def test_it_has_a_message_id_of_its_own_that_a_retry_keeps() -> None:
    """P11, P13, R16: dot-atom and our domain; one per enrollment and mail; the same bytes on a retry; at most 500 long."""
    ids = [raw(composed(content, number), "Message-ID") for content in CONTENTS for number in range(1, 30)]
    assert len(set(ids)) == len(ids)
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    assert all(re.fullmatch(rf"<{atom}(?:\.{atom})*@challenge\.example>", one) and len(one) < 500 for one in ids)
    assert composed(CONTENTS[2]) == composed(CONTENTS[2])
    later = Letter(Address(7, 1007, "day-3"), "new@example.com", "", CONTENTS[2], NOON + timedelta(hours=5))
    assert raw(COMPOSER.compose(later).data, "Message-ID") == raw(composed(CONTENTS[2]), "Message-ID")


def test_it_is_dated_when_it_was_composed() -> None:
    """P11: one valid Date."""
    assert parsed(composed(CONTENTS[0]))["Date"].datetime == NOON


def test_it_comes_from_an_envelope_that_tells_whose_it_is() -> None:
    """R20, R23: VERP with an HMAC: one per mail, and only a holder of our key can make one."""
    senders = {COMPOSER.envelope_sender(Address(1, number, "day-1")) for number in range(1, 200)}
    assert len(senders) == 199
    assert all(re.fullmatch(r"b\d+-[a-z2-7]{16}@challenge\.example", one) and len(one) <= 64 + 18 for one in senders)
    other = Composer(SETTINGS.model_copy(update={"secret_key": "x" * 40}), shipped())
    assert not senders & {other.envelope_sender(Address(1, number, "day-1")) for number in range(1, 200)}
    old = COMPOSER.envelope_sender(Address(1, 5, "day-1"))
    rotated = Tokens(("n" * 40, "k" * 40))
    assert rotated.is_tag("verp:5", old[old.index("-") + 1 : old.index("@")])
    elsewhere = Composer(SETTINGS.model_copy(update={"bounce_domain": "bounce.challenge.example"}), shipped())
    assert elsewhere.envelope_sender(Address(1, 5, "day-1")).endswith("@bounce.challenge.example")


@EVERY
def test_it_keeps_to_the_limits(content: Content) -> None:
    """P12, R13, R14, R24: CRLF only, 7 bit, lines of at most 76 in bodies, 998 in headers, encoded words of at most 75."""
    data = composed(content)
    head, _, body = data.partition(b"\r\n\r\n")
    assert data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n")
    assert b"\x00" not in data
    assert data.isascii()
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert all(len(word) <= 75 for word in re.findall(rb"=\?[^ ]*\?=", head))
    assert len(head) < 32_000
    assert not any(line.startswith(b".") for line in body.split(b"\r\n"))
    assert re.findall(rb"Content-Transfer-Encoding: (\S+)", body) == [b"quoted-printable"] * 2


@EVERY
def test_it_has_text_first_and_every_link_in_both(content: Content) -> None:
    """R15, P10: multipart/alternative, plainest first; the text has every link of the page; nothing is hidden."""
    message = parsed(composed(content))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    text, page = (part.get_content() for part in message.iter_parts())
    links = re.findall(r'href="((?:https?|mailto):[^"]+)"', page)
    assert links
    assert all(link.replace("&amp;", "&") in text for link in links)
    assert not re.search(r"display:\s*none|font-size:\s*0|visibility:\s*hidden|opacity:\s*0|max-height:\s*0", page)
    assert not re.match(r"(?i)\s*(re|fwd?|aw|wg)\s*:", message["Subject"])


@EVERY
def test_it_says_who_sends_it_and_opens_with_words(content: Content) -> None:
    """P7, P10: postal address in both parts; the first words of the page can be seen and serve as the preheader; under 80 KB."""
    message = parsed(composed(content))
    text, page = (part.get_content() for part in message.iter_parts())
    assert SETTINGS.mail_postal_address in text
    assert SETTINGS.mail_postal_address in page
    assert len(page.encode()) < 80_000
    body = re.sub(r"(?s)<head.*?</head>|<[^>]+>", " ", page)
    assert len(body.split()[0]) > 0
    first = re.search(r"(?s)<body[^>]*>(.*?)<(?:h1|img)", page)
    assert first is None or not re.search(r"[\u200b-\u200f\u2060\ufeff\u034f\u00ad]{3}|(?:&zwnj;|&nbsp;){3}", first[1])


@pytest.mark.parametrize("text", ["Zoe@Exämple.com", "zoe@xn--exmple-cua.com", "ZOE@EXÄMPLE.COM"])
def test_it_shows_one_domain_in_letters_and_compares_it_in_ascii(text: str) -> None:
    """R19: U-label to show, A-label on the wire and to compare."""
    shown, key = address(text)
    assert shown.lower().endswith("@exämple.com")
    assert key == "zoe@xn--exmple-cua.com"
    message = COMPOSER.compose(Letter(Address(1, 2, "day-1"), shown, "", CONTENTS[0], NOON))
    assert message.recipient.lower() == "zoe@xn--exmple-cua.com"
    assert raw(message.data, "To").lower() == "zoe@xn--exmple-cua.com"
