"""A signature has one spelling: two that decode alike would let a changed letter pass."""

from __future__ import annotations

import pytest

from challenge.inbound.hook import from_base64


def test_it_decodes_the_usual_spelling() -> None:
    assert from_base64("AAE=") == b"\x00\x01"


@pytest.mark.parametrize("text", ["AAF=", "AB==", "AAE", "AAE=\n", " AAE=", "AA*=", "AAE=AAE="])
def test_it_refuses_any_other(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_base64(text)
