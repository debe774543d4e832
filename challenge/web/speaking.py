"""Which language does this page speak? The person's own behind a link of theirs, else what the browser asks for.

`?lang=de` on a public page beats the browser, and goes along in the form and the links. The dashboard and the development inbox are English.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g, has_request_context, request

from challenge.errors import BadInput
from challenge.i18n import Language
from challenge.programme.definition import Challenge
from challenge.web import service

_ENGLISH = ("dashboard", "inbox")
_PUBLIC = ("public.landing", "public.check_inbox", "public.exercises", "public.privacy")


def speak(locale: str) -> None:
    """From here on this request speaks the person's language."""
    g.locale = locale


def ask(locale: str) -> None:
    """From here on this request speaks the language that its form was in, unless its address asks for another."""
    g.asked = locale[:16]


def language() -> Language:
    """The language of this request."""
    languages = service().composer.templates.languages
    if request.blueprint in _ENGLISH:
        return languages.get("en")
    return languages.get(g.get("locale") or languages.choose(*asked()))


def asked() -> tuple[str, ...]:
    """The languages that a visitor asks for, most wanted first."""
    return (request.args.get("lang", "")[:16], g.get("asked", ""), *request.accept_languages.values())


def kept() -> str:
    """The language that a link to a public page has to carry, as the browser would get another; else empty."""
    if not has_request_context() or request.blueprint in _ENGLISH:
        return ""
    spoken, languages = language(), service().composer.templates.languages
    return "" if spoken.locale == languages.choose(*request.accept_languages.values()) else spoken.lang


def challenge() -> Challenge:
    """The challenge in the language of this request."""
    return language().challenge


def say(words: str) -> str:
    """Words for the page, translated."""
    return language().gettext(words)


def install(app: Flask) -> None:
    """`_("…")` and `{% trans %}` in the pages; `language`, and `error | said`."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda words: language().gettext(words),
        lambda one, many, count: language().ngettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.filters["said"] = said
    app.context_processor(
        lambda: {
            "language": language(),
            "languages": service().composer.templates.languages,
            "kept_language": kept(),
        }
    )
    app.url_defaults(_carry)
    app.after_request(_tell)


def said(error: BadInput) -> str:
    """What is wrong with a field, in the language of this request."""
    return error.said(language().gettext)


def _carry(endpoint: str, values: dict[str, Any]) -> None:
    """Links to public pages keep the language that was asked for."""
    if endpoint in _PUBLIC and "lang" not in values and (lang := kept()):
        values["lang"] = lang


def _tell(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Language", language().lang)
        if "token" not in (request.view_args or {}):
            response.vary.add("Accept-Language")
    return response
