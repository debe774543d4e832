"""The built-in inbox as pages: each mail as a person sees it, its text, headers and source. Development only."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, jsonify, render_template, request

from challenge.embedded.store import Inbox, StoredMail

PAGE = 50
_VIEWS = ("mail", "text", "headers", "source")


def inbox_blueprint(path: Path) -> Blueprint:
    """The pages over the inbox file at `path`, which need not exist yet."""
    room = Blueprint("inbox", __name__, url_prefix="/inbox")

    @cache
    def box() -> Inbox:
        return Inbox(path)

    def found(number: int) -> StoredMail:
        mail = box().get(number)
        if mail is None:
            abort(404)
        return mail

    @room.get("")
    def index() -> str:
        search, to = request.args.get("q", "")[:100], request.args.get("to", "")[:320]
        before = request.args.get("before", 0, type=int)
        mails = box().newest(search, PAGE + 1, before, to)
        return render_template(
            "inbox/index.html", mails=mails[:PAGE], more=len(mails) > PAGE, search=search, to=to, count=box().count()
        )

    @room.get("/<int:number>")
    def mail(number: int) -> str:
        view = request.args.get("view", "mail")
        one = found(number)
        earlier, later = box().neighbours(one)
        shown = view if view in _VIEWS else "mail"
        return render_template("inbox/mail.html", mail=one, view=shown, views=_VIEWS, earlier=earlier, later=later)

    @room.get("/<int:number>/html")
    def html(number: int) -> Response:
        """The HTML part by itself, for the sandboxed frame; its links open in a new window."""
        response = Response(_framed(found(number)), mimetype="text/html")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; img-src 'self' http: https: data:; style-src 'unsafe-inline'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
            "sandbox allow-popups allow-popups-to-escape-sandbox"
        )
        return response

    @room.get("/api/mails")
    def api() -> Any:
        to, since = request.args.get("to", ""), request.args.get("since", 0, type=int)
        mails = box().mails_for(to, since) if to else box().since(since)
        return jsonify(
            mails=[
                {"id": m.id, "to": m.recipient, "subject": m.subject, "key": m.key, "text": m.text, "links": m.links}
                for m in mails
            ]
        )

    return room


def _framed(mail: StoredMail) -> str:
    """The HTML part with its own pictures in place, and links that leave the frame; a doctype stays first."""
    pictures = mail.pictures
    page = re.sub(r"cid:([^\s\"'()<>]+)", lambda found: pictures.get(found[1], found[0]), mail.html)
    start = re.match(r"\s*(<!doctype[^>]*>)?\s*(<html[^>]*>)?\s*(<head[^>]*>)?", page, re.IGNORECASE)
    end = start.end() if start else 0
    return f'{page[:end]}<base target="_blank">{page[end:]}'
