"""One RQ job per mail: the job. The template is compiled once per process; smtplib opens, sends and says goodbye."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import cache
from typing import Any

from jinja2 import Environment, Template
from letter import address, bundle, context, headers


@cache
def _templates(told_at: str) -> tuple[dict[str, Any], Template, Template, Template]:
    told = bundle(told_at)
    plain, page = Environment(autoescape=False), Environment(autoescape=True)
    return (
        told,
        plain.from_string(told["subject"]),
        plain.from_string(told["text"]),
        page.from_string(told["html"]),
    )


def message(told_at: str, number: int) -> EmailMessage:
    told, subject, text, page = _templates(told_at)
    values = context(told, number)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = told["sender"], address(number), subject.render(values)
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="challenge.example.org")
    for name, value in headers(values, told).items():
        mail[name] = value
    mail.set_content(text.render(values))
    mail.add_alternative(page.render(values), subtype="html")
    return mail


def send(told_at: str, port: int, number: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as relay:
        relay.send_message(message(told_at, number))
