"""Words: a mail as a person gets it, and what a tired reader would stumble over."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import click

from challenge.cli.door import as_json, challenge_of, cli, print_json
from challenge.errors import UsageError
from challenge.settings import read_settings

STAGES = ("before", "day", "after", "paused")  # of who signs up though they are in


@cli.command()
@click.argument("mail", default="day")
@click.option("--day", type=int, default=1, show_default=True)
@click.option("--position", type=click.Choice(["seated", "standing", "lying"]), default="seated", show_default=True)
@click.option("--name", default="Ana", show_default=True)
@click.option("--language", default="", help="A language that has catalogues, such as de.")
@click.option("--variant", default="", help="A version of the mails that the challenge's file has, such as b.")
@click.option("--stage", type=click.Choice(STAGES), default="day", show_default=True, help="For the mail already.")
@click.option("--html", is_flag=True, help="Print the HTML part.")
def preview(mail: str, day: int, position: str, name: str, language: str, variant: str, stage: str, html: bool) -> None:
    """Prints a mail as a person would get it.

    MAIL: confirm, welcome, already, day, nudge, rest, finish, invitation, comeback."""
    from challenge.rendering.links import Address
    from challenge.rendering.lint import key_of
    from challenge.rendering.message import Composer
    from challenge.rendering.templates import FOLDERS, Content

    settings = read_settings()
    mails = sorted(path.parent.name for path in FOLDERS.glob("*/subject.txt"))
    if mail not in mails:
        raise UsageError(f"There is no mail {mail}. There are: {', '.join(mails)}.")
    challenge = challenge_of(settings)
    if not 1 <= day <= challenge.length:
        raise UsageError(f"{challenge.title} has days 1 to {challenge.length}.")
    composer = Composer(settings, challenge)
    languages = composer.templates.languages
    if language and language not in languages.locales:
        raise UsageError(f"There are no words in {language}. There are: {', '.join(languages.locales)}.")
    if variant not in ("", "a", *challenge.variants.of_mails):
        raise UsageError(
            f"The challenge has these versions of its mails: {', '.join(('a', *challenge.variants.of_mails))}."
        )
    content = Content(
        mail,
        day,
        position,
        done=tuple(range(1, day)),
        has_name=bool(name),
        locale=language or languages.locales[0],
        variant=variant,
        stage=stage if mail == "already" else "",
        next_on="" if stage == "paused" or mail != "already" else f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}",
    )
    key = key_of(content) if mail in ("day", "nudge", "already") else mail
    subject, text, page = composer.templates.shown(content, name, composer.links, Address(0, 0, key))
    click.echo(page if html else f"Subject: {subject}\n\n{text}")


@cli.command()
@click.option("--write", "locale", metavar="LOCALE", help="Make or renew this language's catalogues first, such as de.")
@as_json
def words(locale: str | None, as_json: bool) -> None:
    """Checks that every sentence is translated. Pages, mails and the challenge itself. Exit code 1 at a gap."""
    from babel import Locale, UnknownLocaleError

    from challenge.catalogues import gaps, progress, update

    challenge = challenge_of(read_settings())
    if locale:
        try:
            written = update(challenge, str(Locale.parse(locale, sep="-" if "-" in locale else "_")))
        except (ValueError, UnknownLocaleError) as error:
            raise UsageError(f"{locale} is not a language ({error}). Write it as de or pt_BR.") from error
        for file in () if as_json else written:
            click.echo(f"Wrote {file}.")
    found = list(gaps(challenge))
    if as_json:
        print_json([vars(gap) for gap in found])
    for gap in () if as_json else found:
        click.echo(f"{gap.catalogue}: {gap.problem}: {gap.words}")
    if not found and not as_json:
        click.echo("Every sentence is there in every language.")
    for one in () if as_json else progress(challenge):
        click.echo(
            f"{one.locale}: {one.right} of {one.all} sentences, {'offered' if one.is_offered else 'not offered yet'}."
        )
    sys.exit(1 if found else 0)


@cli.command()
@as_json
def lint(as_json: bool) -> None:
    """Reads the words and every mail again.

    Reading grade, safety, tired muscles; targets, contrast, mail programs.

    Exit code 1 at an error."""
    from challenge.programme.lint import lint as lint_words
    from challenge.rendering.lint import lint as lint_mails
    from challenge.rendering.message import Composer

    settings = read_settings()
    composer = Composer(settings, challenge_of(settings))
    found = [*lint_words(composer.challenge), *lint_mails(composer.templates, composer.links)]
    if as_json:
        print_json([vars(finding) if hasattr(finding, "__dict__") else finding for finding in found])
    for finding in () if as_json else found:
        click.echo(f"{finding.level}: {finding.where}: {finding.text}. {finding.advice}.")
    if not found and not as_json:
        click.echo("Nothing to say.")
    sys.exit(1 if any(finding.level == "error" for finding in found) else 0)
