"""`challenge worker` with an Ed25519 key alone: the service refuses that (RFC 8463 3), and for the figure it is needed."""

from __future__ import annotations

import sys
from pathlib import Path

from challenge.cli import main
from challenge.rendering import dkim
from challenge.settings import Settings


def _signer_of(settings: Settings) -> dkim.Signer:
    key = dkim.Key(settings.dkim_selector, dkim._read(Path(settings.dkim_key_file)))
    return dkim.Signer(settings.sender_domain, [key])


if __name__ == "__main__":
    vars(dkim)["signer_of"] = _signer_of
    sys.argv[1:] = ["worker"]
    sys.exit(main())
