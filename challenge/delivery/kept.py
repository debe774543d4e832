"""Which words of a mail does its row keep, so that the same bytes can be made again?"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from challenge.errors import ChallengeError
from challenge.models import Delivery, Subscriber
from challenge.rendering.links import Address
from challenge.rendering.message import Letter
from challenge.rendering.templates import Content


def kept_words(letter: Letter, digest: str) -> str:
    """What a row keeps of its letter, as JSON, so that the same bytes can be made again, and known to be the same."""
    return f'{{"first_name": {json.dumps(letter.first_name)}, "digest": "{digest}", {_content_words(letter.content)}'


@lru_cache(maxsize=256)
def _content_words(content: Content) -> str:
    words = {
        "day": content.day,
        "position": content.position,
        "goal": content.goal,
        "done": list(content.done),
        "rested": content.rested,
        "hour": content.hour,
        "pace": content.pace,
        "tracking": content.tracking,
        "locale": content.locale,
        "variant": content.variant,
    }
    if content.stage:
        words |= {"stage": content.stage, "next_on": content.next_on}
    return json.dumps(words)[1:]


def letter_of(row: Delivery, subscriber: Subscriber) -> Letter:
    """The letter that a row's kept context describes. Raises ChallengeError when nothing was composed yet."""
    if row.context is None or row.composed_at is None:
        raise ChallengeError("This mail was not composed yet.")
    to = Address(row.enrollment_id, row.id or 0, row.key)
    return kept_letter(to, row.mail, subscriber.email, row.context, row.composed_at, row.edition)


def kept_letter(
    to: Address, mail: str, email: str, context: dict[str, Any], composed_at: datetime, edition: str
) -> Letter:
    """The letter that these words describe."""
    kept = dict(context)
    name, digest = str(kept.pop("first_name")), str(kept.pop("digest", ""))
    kept["done"] = tuple(kept["done"])
    return Letter(to, email, name, Content(mail=mail, has_name=bool(name), **kept), composed_at, edition, digest)
