"""The lint of the mails: nothing to say about ours, and something to say about each harm."""

from __future__ import annotations

import email.policy
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from challenge import i18n
from challenge.cli import main
from challenge.programme.definition import Challenge, ContentError, shipped
from challenge.programme.lint import lint as lint_words
from challenge.rendering import lint
from challenge.rendering.caniemail import HARMLESS, features, lacking
from challenge.rendering.links import Address
from challenge.rendering.lint import Mail, contents, lint_mail, rendered
from challenge.rendering.marked_up import color, contrast, inverted, parsed
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import FOLDERS, Content, Templates
from challenge.settings import Settings
from tests.unit.programme.test_variants import SHORT_PAGE, SHORT_TEXT, challenge_with

SETTINGS = Settings(
    secret_key="k" * 64,
    base_url="https://challenge.example",
    mail_from="Dr. Gretchen Hawley <hello@challenge.example>",
    mail_reply_to="hello@challenge.example",
    mail_postal_address="1 Main Street, Springfield",
)
COMPOSER = Composer(SETTINGS, shipped())
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = rendered(COMPOSER.templates, Content("day", 3, "lying", done=(1,), has_name=True), COMPOSER.links)


def said(mail: Mail) -> str:
    return "\n".join(finding.text for finding in lint_mail(mail))


def with_page(page: str) -> Mail:
    return replace(DAY, page=page, root=parsed(page))


def test_it_has_nothing_to_say_about_any_mail_in_any_language() -> None:
    assert lint.lint(COMPOSER.templates, COMPOSER.links) == []


def test_it_has_nothing_to_say_about_mails_from_right_to_left(
    mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge, ours = mirrored
    monkeypatch.setattr(i18n, "CATALOGUES", ours)
    composer = Composer(SETTINGS, challenge)
    drawn = [finding for finding in lint.lint(composer.templates, composer.links) if "subject" not in finding.text]
    assert drawn == []
    mail = rendered(composer.templates, Content("day", 1, has_name=True, locale="ar"), composer.links)
    assert '<html lang="ar" dir="rtl">' in mail.page
    assert re.search(r'<div [^>]*dir="rtl"[^>]* lang="ar"', mail.page)
    assert "padding-right: 28px" in mail.page
    assert "text-align: right" in mail.page
    assert not re.search(r"(padding|margin)-left: [1-9]|text-align: left", mail.page)
    assert '<span dir="auto">Ana</span>' in mail.page
    assert "\u2068Ana\u2069" in mail.text
    outside = re.sub(r"«.*?»", "", mail.text.split("\n--\n")[0], flags=re.S)
    assert re.findall(r"[A-Za-z]{3,}", re.sub(r"https?://\S+", "", outside)) == []


def test_only_the_invitation_leads_to_the_paid_programme() -> None:
    programme = shipped().programme
    for tracking in (True, False):
        for content in (one._replace(tracking=tracking) for one in contents(shipped(), "en")):
            mail = rendered(COMPOSER.templates, content, COMPOSER.links)
            said = mail.text.split("\n--\n")[0] + mail.page
            assert (mail.invitation in said, programme in said) == (content.mail == "invitation",) * 2, mail.name
    for address in (DAY.invitation, shipped().invitation_url):
        assert "a link to the paid programme" in said_of(address)


def said_of(address: str) -> str:
    return said(with_page(DAY.page.replace("</body>", f'<p><a href="{address}">See more of it</a></p></body>')))


MISTAKES = {
    "no endif": ("finish/body.html", "{% endif %}", "", "line 16: cannot be filled in: ", "needs its end"),
    "a misspelt word": (
        "_base/foot.txt",
        "postal_address",
        "postal_adress",
        "line 5: cannot be filled in: 'postal_adress' is",
        "spelt",
    ),
    "no such file": (
        "rest/body.txt",
        "_base/foot.txt",
        "_base/fot.txt",
        "line 12: cannot be filled in: there is no",
        "name",
    ),
    "nothing behind": (
        "comeback/subject.txt",
        "subject_line()",
        "_('%(x)s')",
        "line 1: cannot be filled in: nothing fills 'x'",
        "Give",
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "problem", "advice"), MISTAKES.values(), ids=MISTAKES)
def test_it_names_file_and_line_of_a_broken_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, problem: str, advice: str
) -> None:
    folders = tmp_path / "emails"
    shutil.copytree(FOLDERS, folders)
    words = (folders / file).read_text()
    assert old in words
    (folders / file).write_text(words.replace(old, new, 1))
    templates = Templates(shipped(), "https://challenge.example", "1 Main Street", folders=folders)
    (finding,) = lint.lint(templates, COMPOSER.links)
    told = f"{finding.where}: {finding.text}. {finding.advice}"
    assert told.startswith(f"{folders / file}, {problem}")
    assert advice in finding.advice


def test_it_does_not_start_without_a_subject_for_each_mail() -> None:
    few = {mail: words for mail, words in shipped().subjects.items() if mail != "already"}
    challenge = replace(shipped(), subjects=few)
    with pytest.raises(ContentError, match=r'no subject for the mail already. Write already = "…" under \[subjects\]'):
        Templates(challenge, "https://challenge.example", "1 Main Street").check()


@pytest.mark.parametrize(("words", "code"), [(["lint"], 1), (["preview", "finish"], 2), (["words"], 2)])
@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        (b"{{ dun }}", "1: cannot be filled in: 'dun' is undefined. Check how"),
        (b"\n{% if x %}", "2: cannot be filled in: Unexpected end of template."),
        (b"\n\n\xff", "3: cannot be filled in: it is not in UTF-8. Save it as UTF-8."),
    ],
)
def test_the_commands_say_it_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    mistake: bytes,
    problem: str,
) -> None:
    folders = tmp_path / "emails"
    shutil.copytree(FOLDERS, folders)
    (folders / "finish" / "body.txt").write_bytes(mistake)
    monkeypatch.setattr("challenge.catalogues.FOLDERS", folders)
    monkeypatch.setitem(cast(dict[str, Any], Templates.__init__.__kwdefaults__), "folders", folders)
    monkeypatch.setattr("sys.argv", ["challenge", *words])
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setenv("CHALLENGE_DATA_DIR", str(tmp_path))
    if words == ["words"] and b"dun" in mistake:
        assert main() == 0  # it reads the sentences, and fills nothing in
        return
    assert main() == code
    told = capsys.readouterr()
    said = told.out if code == 1 else told.err
    (line,) = (line for line in said.splitlines() if "cannot be filled in" in line)
    assert f"{folders / 'finish' / 'body.txt'}, line {problem}" in line


def test_the_confirmation_does_not_tell_a_stranger_that_they_joined() -> None:
    for content, joined in ((Content("confirm"), False), (Content("welcome"), True)):
        mail = rendered(COMPOSER.templates, content, COMPOSER.links)
        for part in (mail.text, mail.page):
            assert ("because this address joined" in part, "because somebody typed this address" in part) == (
                joined,
                not joined,
            )


@pytest.mark.parametrize(
    ("pattern", "instead", "problem"),
    [
        (r'<div ([^>]*)lang="en"', r"<div \1", "lang and dir"),
        (r'<html lang="en" dir="ltr">', '<html lang="en" dir="rtl">', "lang and dir"),
        (r'<table role="presentation"', "<table", "role=presentation"),
        (r"<h1 ", "<h2 ", "0 headings h1"),
        (r"<ol ", "<div ", "no numbered list"),
        (r"</body>", '<form action="x"></form></body>', "<form> in a mail"),
        (r'class="button"', 'class="links"', "not exactly one main button"),
        (r">Not today, I need rest<", ">Click here<", "'Click here'"),
        (r">Not today, I need rest<", ">Change my hour<", "leads to 2 places"),
        (r'href="https://challenge.example/privacy"', 'href="javascript:x"', "leads nowhere"),
        (r"padding: 12px 0 12px 0", "padding: 5px 0 5px 0", "less than 44 px high"),
        (r"padding: 0 0 16px 0", "padding: 0 0 8px 0", "less than 16 px below"),
        (r'(unsubscribe/[^>]*)padding: 12px 0 12px 0', r"\1padding: 10px 0 10px 0", "smaller than others"),
        (r' alt="[^"]{9,}"', "", "a picture without words"),
        (r"max-width: 100%", "max-width: 700px", "wider than a phone"),
        (r"</h1>", '</h1><p style="display:none">One more.</p>', "is hidden"),
        (r"</h1>", '</h1><p style="font-size:11px">One more.</p>', "is set in 11px"),
        (r"color: #40565c", "color: #8a9a9f", "has a contrast of"),
        (r"color: #ffffff", "color: white", "is not written as #rrggbb"),
        (r"\.paper, \.ink \{ color: #f3eee4", ".paper, .ink { color: #556066", "in dark mode"),
        (r"</h1>", '</h1><p style="width: 640px">One more.</p>', "is 640px wide"),
        (r"width: 100%; ?max-width: 600px", "width: 600px", "not fluid"),
        (r"</h1>", '</h1><p style="margin: 0 auto">One more.</p>', "has margin: 0 auto"),
        (r"</h1>", '</h1><p style="background: #fbf8f3">One more.</p>', "has background"),
        (r"</h1>", '</h1><p style="padding-left: 9px">One more.</p>', "<p> has padding"),
        (r"</h1>", '</h1><p style="display: flex">One more.</p>', "has display: flex"),
        (r' bgcolor="#0b4f5c"', "", "shows flat"),
        (r"</h1>", '</h1><p style="gap: 3px">One more.</p>', "css-gap does not work in"),
        (r"</h1>", '</h1><p style="mix: 3px">One more.</p>', "has not tested css-mix"),
        (r"</h1>", "</h1><main></main>", "has not tested html-main"),
        (r"Today takes about", "Soon takes about", "the text part lacks 'Good morning"),
        (r"/c/[\w-]+", "/c/other", "the text part lacks the link"),
        (r"Good morning, ", "Your MS day is here, ", "the first sentence says 'MS'"),
        (r"</style>", "/*" + "x" * 16_000 + "*/</style>", "bytes of style"),
        (r"</body>", "<p>" + "x" * 80_000 + "</p></body>", "bytes of HTML"),
    ],
)  # fmt: skip
def test_it_finds_each_harm(pattern: str, instead: str, problem: str) -> None:
    page, count = re.subn(pattern, instead, DAY.page)
    assert count
    assert problem in said(with_page(page))


@pytest.mark.parametrize(
    ("subject", "problem"),
    [("", "is empty"), ("Re: Day 3", "looks like an answer"), ("x" * 61, "too long"), ("Day 3 of MS", "says 'MS'")],
)
def test_it_reads_the_subject(subject: str, problem: str) -> None:
    assert problem in said(replace(DAY, subject=subject))


def test_it_offers_to_say_it_by_mail_where_mail_is_taken() -> None:
    composer = Composer(SETTINGS.model_copy(update={"bounce_domain": "bounce.example"}), shipped())
    mail = rendered(composer.templates, DAY.content, composer.links)
    assert lint_mail(mail) == []
    (link,) = [anchor for anchor in mail.root.all("a") if anchor.attributes["href"].startswith("mailto:")]
    sender = composer.envelope_sender(Address(70_001, 900_001, "day-3"))
    assert link.attributes["href"] == f"mailto:done+{sender}?subject=I%20did%20day%203"
    assert "mailto:" not in DAY.text + DAY.page
    data = composer.compose(Letter(Address(70_001, 900_001, "day-3"), "a@b.example", "Ana", DAY.content, NOON)).data
    text, page = email.message_from_bytes(data, policy=email.policy.default).iter_parts()
    assert link.attributes["href"] in text.get_content()
    assert link.attributes["href"] in page.get_content()


def test_it_reads_what_variants_send_too(tmp_path: Path) -> None:
    words = '[variants.mails.b]\nday-2 = "short"\n[variants.landing.b]\nheadline = "' + "word " * 16 + '"'
    text = (
        (FOLDERS / "day" / "body.txt")
        .read_text()
        .replace("{{ day.intro }}", "{{ day.intro }}\n\nOnly two moves today.")
    )
    challenge = challenge_with(
        tmp_path, words, short=(text, SHORT_PAGE.replace("<p>Only", "<p style='color: #999999'>Only"))
    )
    composer = Composer(SETTINGS, challenge)
    found = lint.lint(composer.templates, composer.links)
    assert found
    assert all(", variant b" in finding.where for finding in found)
    assert any("has a contrast of" in finding.text for finding in found)
    assert ("variants.landing.b", True) in {(one.where, "16 words" in one.text) for one in lint_words(challenge)}


@pytest.mark.parametrize(
    ("text", "page", "problem"),
    [
        (SHORT_TEXT + "{{ nobody_fills_this }}", SHORT_PAGE, "cannot be filled in"),
        (SHORT_TEXT + "{% if %}", SHORT_PAGE, "cannot be filled in"),
        (
            SHORT_TEXT.replace('{% include "_base/foot.txt" %}', ""),
            SHORT_PAGE,
            "body.txt: has no link that stops the mails",
        ),
        (SHORT_TEXT.replace("link.day", "link.rest"), SHORT_PAGE, "body.txt: has no main link"),
        (SHORT_TEXT, SHORT_PAGE.replace("{{ super() }}", ""), "body.html: has no main link"),
    ],
)
def test_it_does_not_start_with_a_variant_that_cannot_be_sent(
    tmp_path: Path, text: str, page: str, problem: str
) -> None:
    challenge = challenge_with(tmp_path, '[variants.mails.b]\nday-2 = "short"', short=(text, page))
    with pytest.raises(ContentError, match=re.escape(problem)):
        Composer(SETTINGS, challenge)


def test_it_reads_what_is_hard_to_read() -> None:
    hard = "Individualised neurorehabilitation interventions necessitate perseverance. " * 20 + DAY.text
    assert "reads like school grade" in said(replace(DAY, text=hard))


def test_it_excuses_only_what_is_used_and_lacking() -> None:
    used: set[str] = set()
    for content in contents(shipped(), "en"):
        used |= features(rendered(COMPOSER.templates, content, COMPOSER.links).root)
    assert [feature for feature in HARMLESS if feature not in used or not lacking(feature)] == []


def test_it_measures_contrast_as_wcag_does() -> None:
    assert contrast(color("#000000"), color("#ffffff")) == pytest.approx(21)
    assert contrast(color("#777777"), color("#ffffff")) == pytest.approx(4.48, abs=0.01)
    assert inverted(color("#0b4f5c")) == color("#f4b0a3")
