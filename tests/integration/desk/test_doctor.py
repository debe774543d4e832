"""The page of checks: shut for all but owners, looks only when asked, and says what the command says."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.integration


def test_it_looks_only_when_asked(small_desk: Any) -> None:
    owner = small_desk.browser("owner")
    first = owner.text("/dashboard/doctor")
    assert "Look now" in first
    assert "What the mailbox providers ask" not in first
    page = owner.text("/dashboard/doctor?look=1")
    assert "Something is wrong" in page
    assert "CHALLENGE_MAIL_FROM is empty" in page
    assert "One click unsubscribes" in page


@pytest.mark.parametrize("role", ["marketer", "viewer"])
def test_it_is_for_owners(small_desk: Any, role: str) -> None:
    browser = small_desk.browser(role)
    assert browser.get("/dashboard/doctor?look=1").status_code == 403
    assert "/dashboard/doctor" not in browser.text("/dashboard/")
