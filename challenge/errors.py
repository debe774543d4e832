"""What can go wrong, as a tree; raised by every floor, turned into a sentence, a status or an exit code at the doors.

ChallengeError
├── UsageError           whoever started it must change something (exit 2): settings, flags, a port, a directory
│   ├── SettingsError    one variable, named
│   └── SchemaBehind     the database needs `challenge migrate`
├── BadInput             a form field or a CSV cell; carries the field and a sentence for the person
├── BadToken             a link that was cut short, changed or made by somebody else
├── NotFound             the link is genuine, what it points to was erased
└── content, smtp, inbound … define their own leaves next to their code
"""

from __future__ import annotations

from collections.abc import Callable


class ChallengeError(Exception):
    """Something a person or an operator can act on; its text says what happened and what to do."""


class UsageError(ChallengeError):
    """The service cannot start or the command cannot run as it was asked; the text says what to change."""


class SettingsError(UsageError):
    """A setting is missing or wrong."""

    def __init__(self, variable: str, sentence: str) -> None:
        self.variable = variable
        super().__init__(f"{variable}: {sentence}")


class SchemaBehind(UsageError):  # noqa: N818 - a state, not an error of its own
    """The database's tables are older (or newer) than this program."""


class BadInput(ChallengeError):  # noqa: N818
    """One field cannot be accepted. `field` names it; the sentence is for the person, with `%(name)s` for `values`."""

    def __init__(self, field: str, sentence: str, **values: object) -> None:
        self.field = field
        self._words, self._values = sentence, values
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        return self.said(str)

    def said(self, gettext: Callable[[str], str]) -> str:
        """The sentence in the language of `gettext`."""
        words = gettext(self._words)
        return words % self._values if self._values else words


class BadToken(ChallengeError):  # noqa: N818
    """A link that this service did not make, or that was changed on the way."""


class NotFound(ChallengeError):  # noqa: N818
    """The link is genuine, but what it points to is no longer kept."""
