"""Can a tired person read and answer this mail, in every mail program? Asked by `challenge lint` and the tests.

Looks at every mail in every language, position and state: structure, targets, contrast (as designed, in dark mode and
turned around), words, both parts, and what caniemail knows of Gmail, Outlook (with Word's engine), Apple Mail, Yahoo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from challenge.i18n import Language
from challenge.programme.definition import Challenge, ContentError
from challenge.programme.exercises import Position
from challenge.programme.lint import MAX_GRADE, Finding
from challenge.programme.reading import grade, words
from challenge.rendering.caniemail import HARMLESS, features, is_known, lacking
from challenge.rendering.links import Address, Link, Links
from challenge.rendering.marked_up import Element, color, contrast, dark_rules, inverted, parsed
from challenge.rendering.templates import Content, Templates

LEAST_CONTRAST, LEAST_HEIGHT, LEAST_GAP, LEAST_FONT = 7.0, 44, 16, 16
MAX_BYTES, MAX_STYLE_BYTES, MAX_WIDTH, MAX_SUBJECT = 80_000, 16_000, 600, 60
_FORBIDDEN = {"form", "input", "button", "script", "iframe", "video", "audio", "svg", "link", "object", "canvas"}
_HIDING = re.compile(
    r"display:\s*none|visibility:\s*hidden|font-size:\s*0|opacity|mso-hide|max-height:\s*0|overflow|text-indent|clip"
)
_EMPTY_WORDS = {"click here", "here", "more", "read more", "link", "open", "this"}
# Where Word's engine applies a property; elsewhere it is ignored or spoils the page.
_WORD_TRAPS = {
    "margin": "Write margin-top, margin-right …: the shorthand with `auto` is dropped by Word's engine",
    "background": "Write background-color: Word's engine takes nothing else",
    "font": "Write font-size, line-height and font-family: one unknown word drops the whole shorthand",
    "float": "Word's engine floats tables only",
    "position": "No mail program that matters has it",
}
_PADDED = {"td", "a", "body", "ol", "ul"}


@dataclass(frozen=True)
class Mail:
    """One mail as it is shown, and what it was made from."""

    content: Content
    language: Language
    subject: str
    text: str
    page: str
    root: Element
    invitation: str

    @property
    def name(self) -> str:
        content = self.content
        day = f" {content.day}" if content.day else ""
        variant = f", variant {content.variant}" if content.variant else ""
        state = f"{content.position}, {content.pace}, {len(content.done)} done, {content.locale}"
        return f"{content.mail}{day}, {state}{variant}"


def contents(challenge: Challenge, locale: str) -> Iterator[Content]:
    """Every mail in every state whose words differ, then what variants send in its place."""
    yield from (states := list(_states(challenge, locale)))
    variants = challenge.variants
    for name in variants.of_mails if locale == challenge.locale else ():
        for content in states:
            if variants.folder(name, content.mail, content.day) or content.mail in variants.subjects.get(name, {}):
                yield content._replace(variant=name)


def _states(challenge: Challenge, locale: str) -> Iterator[Content]:
    length = challenge.length
    every, none = tuple(range(1, length + 1)), ()
    for day in every:
        for position in Position:
            yield Content("day", day, position, done=every[: day - 1], has_name=True, locale=locale)
        yield Content("day", day, done=none, pace="weekly", locale=locale)
    for pace in ("daily", "every_other_day", "weekdays", "weekly", "when_done"):
        yield Content("welcome", has_name=True, pace=pace, locale=locale)
        yield Content("nudge", 2, done=(1,), pace=pace, locale=locale)
    for stage in ("before", "day", "after", "paused"):
        day, next_on = (0, 2)[stage in ("day", "paused")], "" if stage == "paused" else "2027-03-03"
        yield Content("already", day, has_name=True, stage=stage, next_on=next_on, locale=locale)
    yield Content("already", 0, stage="paused", locale=locale)
    for mail in ("confirm", "welcome", "rest", "finish", "invitation", "comeback"):
        for done in (none, every[:2], every):
            yield Content(mail, done=done, has_name=bool(done), locale=locale)


def rendered(templates: Templates, content: Content, links: Links, name: str = "Ana") -> Mail:
    """The mail as a person gets it."""
    key = key_of(content)
    name = name if content.has_name else ""
    to = Address(70_001, 900_001, key)
    subject, text, page = templates.shown(content, name, links, to)
    invitation = links.tracked(Link.invitation, to) if content.tracking else links.target(Link.invitation, to)
    return Mail(content, templates.languages.get(content.locale), subject, text, page, parsed(page), invitation)


def key_of(content: Content) -> str:
    """The key of a mail with this content."""
    if not content.day:
        return content.mail
    return f"day-{content.day}" if content.mail == "day" else f"{content.mail}:day-{content.day}"


def lint(templates: Templates, links: Links) -> list[Finding]:
    """All findings over all mails, each said once. Empty: fit to be sent."""
    found: dict[tuple[str, str], Finding] = {}
    for locale in templates.languages.locales:
        for content in contents(templates.challenge, locale):
            try:
                mail = rendered(templates, content, links)
            except ContentError as error:
                found.setdefault((error.where, error.problem), _broken(error))
                continue
            for finding in lint_mail(mail):
                found.setdefault((content.mail, finding.text), finding)
    return list(found.values())


def _broken(error: ContentError) -> Finding:
    return Finding("error", error.where, error.problem, error.advice.rstrip("."))


def lint_mail(mail: Mail) -> list[Finding]:
    """The findings about one mail."""
    checks = (
        _language, _structure, _links, _pictures, _hidden, _contrast, _sizes, _word_engine, _support, _both_parts,
        _first_words, _subject, _reading, _pitch,
    )  # fmt: skip
    return [Finding("error", f"mail {mail.name}", text, advice) for check in checks for text, advice in check(mail)]


Told = Iterator[tuple[str, str]]


def _language(mail: Mail) -> Told:
    wanted = {"lang": mail.language.lang, "dir": mail.language.dir}
    body = mail.root.all("body")[0]
    twice = [mail.root.all("html")[0], *(element for element in body.walk() if "lang" in element.attributes)]
    good = [one for one in twice if all(one.attributes.get(name) == value for name, value in wanted.items())]
    if len(good) < 2:
        yield "lang and dir are not on html and again inside the body", "Mail programs drop the html element"


def _structure(mail: Mail) -> Told:
    for table in mail.root.all("table"):
        if table.attributes.get("role") != "presentation":
            yield "a table without role=presentation", "It is there for the layout: say so"
    if len(mail.root.all("h1")) != 1:
        yield f"{len(mail.root.all('h1'))} headings h1", "A mail has one"
    if not mail.root.all("p"):
        yield "no paragraph", "Use p, not line breaks"
    for element in mail.root.walk():
        if element.tag in _FORBIDDEN:
            yield f"<{element.tag}> in a mail", "Lead to a page instead"
    if mail.content.mail == "day" and len(mail.root.all("ol")) < 2:
        yield "steps that are no numbered list", "Use ol for the steps of each exercise"
    if len([cell for cell in mail.root.all("td") if "button" in cell.classes]) != 1:
        yield "not exactly one main button", "One thing to do per mail"


def _links(mail: Mail) -> Told:
    anchors = mail.root.all("a")
    targets: dict[str, set[str]] = {}
    for anchor in anchors:
        targets.setdefault(anchor.text.casefold(), set()).add(anchor.attributes.get("href", ""))
        if anchor.text.casefold() in _EMPTY_WORDS or len(anchor.text) < 6:
            yield f"a link that says only {anchor.text!r}", "Say what happens"
        if not anchor.attributes.get("href", "").startswith(("https://", "http://", "mailto:")):
            yield f"{anchor.text!r} leads nowhere", "Give it an address"
        yield from _target(anchor)
    for said, found in targets.items():
        if len(found) > 1:
            yield f"{said!r} leads to {len(found)} places", "One text, one place"
    if len({href for found in targets.values() for href in found}) < len(anchors):
        yield "two links lead to one place", "One is enough for a tired hand"
    stop = [anchor for anchor in anchors if "/unsubscribe/" in anchor.attributes["href"]]
    others = [anchor for anchor in anchors if "link" in anchor.classes]
    if not stop or any(_size(stop[0]) < _size(other) for other in others):
        yield "the link that stops the mails is missing or smaller than others", "Make it as large as the others"


def _target(anchor: Element) -> Told:
    cell = next((above for above in anchor.above() if above.tag == "td"), anchor)
    if anchor.style.get("display") != "block" or _size(anchor) < LEAST_HEIGHT:
        yield f"{anchor.text!r} is less than {LEAST_HEIGHT} px high", "display: block, line height and padding"
    if "button" not in cell.classes and _pixels(_side(cell.style, "bottom")) < LEAST_GAP:
        yield f"{anchor.text!r} has less than {LEAST_GAP} px below it", "Put it into a cell with padding"


def _pictures(mail: Mail) -> Told:
    for image in mail.root.all("img"):
        is_pixel = image.attributes.get("width") == "1"
        if "alt" not in image.attributes or (not is_pixel and len(image.attributes["alt"].split()) < 4):
            yield "a picture without words", "Say in alt how the body starts and what moves"
        if not is_pixel and (image.style.get("max-width") != "100%" or "width" not in image.attributes):
            yield "a picture that may be wider than a phone", "width attribute and max-width: 100%"
    for _, move in mail.language.challenge.moves() if mail.content.mail == "day" else ():
        drawing = mail.language.challenge.folder / "pictures" / move.picture.file.replace(".png", ".svg")
        if drawing.is_file() and "<text" in drawing.read_text():
            yield f"{move.picture.file} has words in it", "Words belong into the mail, where they can be read aloud"


def _hidden(mail: Mail) -> Told:
    for element in mail.root.walk():
        if _HIDING.search(element.attributes.get("style", "")) or "hidden" in element.attributes:
            yield f"<{element.tag}> is hidden", "Filters take hidden content for a trick; show it or leave it out"
        own = element.style.get("font-size", "")
        if own and _pixels(own) < LEAST_FONT:
            yield f"<{element.tag}> is set in {own}", f"At least {LEAST_FONT}px"


def _contrast(mail: Mail) -> Told:
    dark = dark_rules(mail.page)
    body = mail.root.all("body")[0]
    for element in body.walk():
        if not any(isinstance(child, str) and child.strip() for child in element.children):
            continue
        try:
            front, back = (color(element.computed(name)) for name in ("color", "background-color"))
            in_dark = [color(element.computed(name, dark)) for name in ("color", "background-color")]
        except ValueError as error:
            yield f"a colour of <{element.tag}> {error}", "Set both colours inline on the element or around it"
            continue
        ways = {"": (front, back), " turned around": (inverted(front), inverted(back)), " in dark mode": in_dark}
        for way, (one, other) in ways.items():
            if contrast(one, other) < LEAST_CONTRAST:
                ratio = f"{contrast(one, other):.1f}:1"
                yield f"{element.text[:40]!r} has a contrast of {ratio}{way}", f"At least {LEAST_CONTRAST:g}:1"


def _sizes(mail: Mail) -> Told:
    if (size := len(mail.page.encode())) >= MAX_BYTES:
        yield f"{size} bytes of HTML", "Gmail cuts what is longer than 102 KB; stay under 80"
    if (size := sum(len(style.text.encode()) for style in mail.root.all("style"))) >= MAX_STYLE_BYTES:
        yield f"{size} bytes of style", "Gmail drops style elements over 16 KB"
    for element in mail.root.walk():
        for name in ("width", "min-width"):
            value = element.style.get(name, "") or (element.attributes.get("width", "") if name == "width" else "")
            if not value.endswith("%") and _pixels(value) > MAX_WIDTH:
                yield f"<{element.tag}> is {value} wide", f"At most {MAX_WIDTH} px, fluid below"
    if not any("sheet" in table.classes and table.style.get("width") == "100%" for table in mail.root.all("table")):
        yield "the sheet is not fluid", "width: 100%; max-width: 600px"


def _word_engine(mail: Mail) -> Told:
    for element in mail.root.walk():
        for name, value in element.style.items():
            if name in _WORD_TRAPS:
                yield f"<{element.tag}> has {name}: {value}", _WORD_TRAPS[name]
            if name.startswith("padding") and element.tag not in _PADDED:
                yield f"<{element.tag}> has padding", "Word's engine pads table cells only"
            if name == "display" and value != "block":
                yield f"<{element.tag}> has display: {value}", "Only block is safe"
            if name.startswith("margin") and value.startswith("-"):
                yield f"<{element.tag}> has a negative margin", "Gmail and Outlook drop it"
    for cell in mail.root.all("td"):
        if "button" in cell.classes and not ({"bgcolor"} <= set(cell.attributes) and "mso-padding-alt" in cell.style):
            yield "a button that Word's engine shows flat", "bgcolor and mso-padding-alt on its cell"


def _support(mail: Mail) -> Told:
    for feature in sorted(features(mail.root)):
        if not is_known(feature):
            yield f"caniemail has not tested {feature}", "Use something it knows"
        elif lacking(feature) and feature not in HARMLESS:
            where = ", ".join(sorted(lacking(feature)))
            yield f"{feature} does not work in {where}", "Do it another way, or say in HARMLESS why nobody misses it"


def _both_parts(mail: Mail) -> Told:
    said = _plain(mail.text)
    for anchor in mail.root.all("a"):
        if anchor.attributes["href"] not in mail.text:
            yield f"the text part lacks the link {anchor.text!r}", "Both parts say the same"
    for block in mail.root.all("p", "li", "h1", "h2"):
        if _plain(block.text) not in said:
            yield f"the text part lacks {block.text[:60]!r}", "Both parts say the same"
    for image in mail.root.all("img"):
        if _plain(image.attributes.get("alt", "")) not in said:
            yield f"the text part lacks the picture {image.attributes['alt'][:60]!r}", "Both parts say the same"
    if "xzq" in mail.text + mail.page:
        yield "a hole was not filled", "Mend the template"


def _first_words(mail: Mail) -> Told:
    """What an inbox shows beside the subject."""
    first = next(
        (block for block in mail.root.all("p", "h1", "h2", "li", "td") if block.text and block.tag != "td"), None
    )
    if first is None or first.tag != "p" or not 15 <= len(first.text) <= 120:
        yield "the first words are no sentence of their own", "Start with one short, warm sentence"
    elif said := _private(mail, first.text):
        yield f"the first sentence says {said!r}", "An inbox shows it to others"


def _subject(mail: Mail) -> Told:
    if not 0 < len(mail.subject) <= MAX_SUBJECT or re.match(r"(?i)(re|fwd?|aw|wg):", mail.subject):
        yield f"the subject {mail.subject!r} is empty, too long or looks like an answer", f"Up to {MAX_SUBJECT} letters"
    if said := _private(mail, mail.subject):
        yield f"the subject says {said!r}", "Others see a subject line: leave a person's health out"


def _private(mail: Mail, text: str) -> str:
    said = {word.casefold() for word in re.findall(r"\w+", text)}
    return next((word for word in mail.language.challenge.private_words if word.casefold() in said), "")


def _reading(mail: Mail) -> Told:
    own = re.sub(r"https?://\S+", "", mail.text.split("\n--\n", maxsplit=1)[0])
    if mail.language.lang.startswith("en") and words(own) and (hard := grade(own)) > MAX_GRADE:
        yield f"reads like school grade {hard:.1f}", f"At most {MAX_GRADE:g}: shorter words, shorter sentences"


def _pitch(mail: Mail) -> Told:
    """People agree to one invitation."""
    leads = mail.invitation in mail.text + mail.page or mail.language.challenge.invitation_url in mail.text + mail.page
    if leads and mail.content.mail != "invitation":
        yield (
            "a link to the paid programme",
            "People agreed to one invitation: only the mail of that name may lead there",
        )


def _plain(text: str) -> str:
    return " ".join(re.sub("[\u2066-\u2069]", "", text).casefold().replace("ß", "ss").split())


def _size(anchor: Element) -> float:
    """The height of a link that is a block: line height and its own padding, in px."""
    padding = _pixels(_side(anchor.style, "top")) + _pixels(_side(anchor.style, "bottom"))
    return _pixels(anchor.computed("line-height")) + padding


def _side(style: dict[str, str], side: str) -> str:
    """`padding-bottom`, also when it stands in `padding: 1px 2px 3px 4px`."""
    if f"padding-{side}" in style:
        return style[f"padding-{side}"]
    four = style.get("padding", "0").split()
    return four[{"top": 0, "bottom": 2}[side] % len(four)]


def _pixels(text: str) -> float:
    found = re.match(r"[\d.]+", text)
    return float(found[0]) if found else 0.0
