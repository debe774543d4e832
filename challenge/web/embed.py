"""How does another site let people join? A small script, a plain form, or a link; nothing of a third party, no cookie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request

from challenge.errors import BadInput
from challenge.web import service
from challenge.web.api import with_cors
from challenge.web.joining import HONEYPOT, ask_proof, shown
from challenge.web.openapi import described
from challenge.web.speaking import challenge, language, said, say
from challenge.web.track import looked_at_embedded

room = Blueprint("embed", __name__)
_STATIC = Path(__file__).parent / "static"


@room.get("/embed.js")
def script() -> Response:
    """The form as a script, in the visitor's language; it knows when it was shown, so it is never kept."""
    settings = {
        "server": service().settings.public_url,
        "shown": shown(),
        "proof": service().settings.signup_proof,
        "honeypot": HONEYPOT,
        "lang": language().lang,
        "dir": language().dir,
        "words": _words(),
    }
    parts = ((_STATIC / name).read_text(encoding="utf-8") for name in ("proof.js", "embed.js"))
    body = f"(() => {{\nconst challenge = {json.dumps(settings)};\n{''.join(parts)}}})();\n"
    response = Response(body, mimetype="text/javascript")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@room.get("/seen.gif")
def seen() -> Response:
    """A form on another site was shown: counted like a visit of our page, by `form_variant` and `utm_*`. No cookie, nothing
    that outlives the day; the answer is a picture of one pixel, fetched when the form comes into sight."""
    looked_at_embedded()
    response = Response((_STATIC / "seen.gif").read_bytes(), mimetype="image/gif")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@room.route("/api/v1/signups/proof", methods=["POST", "OPTIONS"])
@described(
    "The work to do before a sign-up",
    answers={200: {"type": "object", "required": ["proof"], "properties": {"proof": {"type": ["object", "null"]}}}},
    body={"type": "object", "properties": {"email": {"type": "string"}}},
    errors={413: "More than 256 KB.", 422: "No address.", 429: "Too many from one network."},
)
def proof() -> Any:
    """The work to do before an address may join; `null` when none is asked for."""
    if request.method == "OPTIONS":
        return Response(status=204)
    fields = request.get_json(silent=True)
    email = fields.get("email") if isinstance(fields, dict) else None
    try:
        task = ask_proof(email if isinstance(email, str) else "") if service().settings.signup_proof else None
    except BadInput as error:
        response = jsonify(error=said(error), field=error.field)
        response.status_code = 422
        return response
    return jsonify(proof=task)


@room.after_request
def _for_scripts(response: Response) -> Response:
    return with_cors(response) if request.endpoint == "embed.proof" else response


@room.get("/embed")
def page() -> str:
    """For the operator: the three ways, ready to copy."""
    return render_template("embed.html", server=service().settings.public_url, honeypot=HONEYPOT)


def _words() -> dict[str, str]:
    return {
        "label": say("Your e-mail"),
        "button": say("Start my %(days)s days") % {"days": challenge().length},
        "small": say("It is free. You get one e-mail a day. Stop any time with one tap."),
        "privacy": say("What we keep, and why"),
        "wait": say("One moment…"),
        "sent": say("We sent you one e-mail. Open it and tap the button to say yes."),
        "empty": say("Leave this empty"),
    }
