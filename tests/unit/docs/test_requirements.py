"""Each requirement of mailbox providers (P) and of the RFCs (R) has a test that holds it, or a line in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RENDERING, WEB, ENGINE = (
    "tests/unit/rendering/test_requirements_",
    "tests/integration/web/test_",
    "tests/integration/engine/test_",
)
MAIL, DKIM, HOSTILE, LEAVING = (
    f"{RENDERING}mail.py",
    f"{RENDERING}dkim.py",
    f"{RENDERING}hostile.py",
    f"{WEB}leaving.py",
)
DOCTOR, DIALOGUE, INBOUND = (
    "tests/unit/doctor/test_",
    "tests/integration/delivery/test_dialogue.py",
    "tests/integration/inbound/test_",
)
ROWS: dict[str, tuple[str, ...]] = {
    "P1": (f"{ENGINE}guards.py::test_it_watches_gmails_day", "tests/integration/doctor/test_examined.py::test_gmail_is_watched"),
    "P2": (f"{DOCTOR}dmarc.py::test_it_judges_record_and_alignment", f"{DOCTOR}domain.py::test_published_keys_are_ours", f"{DOCTOR}domain.py::test_a_wrong_record_is_named", f"{DOCTOR}spf.py::test_it_says_whether_the_relay_is_covered"),
    "P3": ("tests/unit/docs/test_requirements.py::test_it_blames_no_person_for_what_gmail_says_of_us",),
    "P4": (f"{DOCTOR}domain.py::test_a_name_must_lead_back_and_the_relays_is_not_ours_to_judge",),
    "P5": (f"{DIALOGUE}::test_it_gives_neither_mail_nor_password_to_a_relay_that_hides_tls",),
    "P6": (f"{ENGINE}guards.py::test_it_stops_at_a_rate_over_a_fair_sample",),
    "P7": (f"{MAIL}::test_it_unsubscribes_over_https_first_and_by_mail", f"{ENGINE}five_days.py::test_it_sends_nothing_that_was_queued_after_a_stop"),
    "P8": (f"{LEAVING}::test_it_works_after_the_key_changed_and_ten_years_later",),
    "P9": (f"{MAIL}::test_it_is_sent_by_one_named_sender", f"{MAIL}::test_it_refuses_senders_that_gmail_would"),
    "P10": (f"{MAIL}::test_it_has_text_first_and_every_link_in_both", "tests/unit/rendering/test_lint.py::test_it_finds_each_harm"),
    "P11": (f"{MAIL}::test_it_has_each_planned_header_once_and_no_other",),
    "P12": (f"{MAIL}::test_it_keeps_to_the_limits",),
    "P13": (f"{MAIL}::test_it_has_a_message_id_of_its_own_that_a_retry_keeps",),
    "P14": (f"{DIALOGUE}::test_it_comes_back_at_once_to_a_relay_that_hangs_up_without_a_word", f"{DOCTOR}domain.py::test_the_domain_must_lie_in_a_zone"),
    "P15": (f"{MAIL}::test_it_gives_feedback_ids_that_can_be_counted",),
    "P16": (f"{INBOUND}effects.py::test_it_stops_everything_on_a_complaint",),
    "P17": (f"{WEB}pages.py::test_it_changes_nothing_on_get_or_without_the_nonce",),
    "R1": (f"{MAIL}::test_it_unsubscribes_over_https_first_and_by_mail",),
    "R2": (f"{DKIM}::test_it_oversigns_what_a_forger_would_add", f"{DKIM}::test_it_breaks_when_a_signed_header_is_changed_added_or_removed"),
    "R3": (f"{LEAVING}::test_it_stops_with_one_click_of_a_bare_client",),
    "R4": (f"{LEAVING}::test_it_stops_with_one_click_of_a_bare_client", f"{LEAVING}::test_it_changes_nothing_for_another_body"),
    "R5": (f"{LEAVING}::test_it_never_redirects",),
    "R6": (f"{LEAVING}::test_it_refuses_a_link_with_any_one_bit_flipped", f"{LEAVING}::test_it_shows_a_page_and_changes_no_row_a_thousand_times"),
    "R7": (f"{MAIL}::test_it_keeps_a_long_link_in_one_piece",),
    "R8": (f"{MAIL}::test_it_names_one_list_for_all_days",),
    "R9": (f"{DKIM}::test_it_signs_with_rsa_and_ed25519_under_two_selectors", "tests/unit/rendering/test_dkim.py::test_it_refuses_weak_missing_and_mismatched_keys"),
    "R10": (f"{DKIM}::test_it_signs_the_message_of_rfc_8463_as_the_rfc_does",),
    "R11": (f"{DKIM}::test_it_oversigns_what_a_forger_would_add", f"{DKIM}::test_it_breaks_when_the_body_changes"),
    "R12": (f"{DOCTOR}dmarc.py::test_it_reads_what_checkdmarc_reads",),
    "R13": (f"{MAIL}::test_it_keeps_to_the_limits", f"{HOSTILE}::test_it_carries_any_name"),
    "R14": (f"{DIALOGUE}::test_it_sends_no_bare_line_end", f"{DIALOGUE}::test_it_stuffs_dots", f"{HOSTILE}::test_it_makes_no_unsafe_mail_of_any_content"),
    "R15": (f"{MAIL}::test_it_has_text_first_and_every_link_in_both",),
    "R16": (f"{MAIL}::test_it_has_a_message_id_of_its_own_that_a_retry_keeps", f"{DKIM}::test_it_signs_a_retry_the_same"),
    "R17": (f"{MAIL}::test_it_says_that_a_machine_wrote_it",),
    "R18": (f"{DIALOGUE}::test_it_says_no_mail_for_an_address_the_relay_cannot_take",),
    "R19": (f"{MAIL}::test_it_shows_one_domain_in_letters_and_compares_it_in_ascii",),
    "R20": (f"{MAIL}::test_it_comes_from_an_envelope_that_tells_whose_it_is", "tests/unit/inbound/test_marks.py::test_it_finds_each_mark_alone_and_says_whose_mail_it_was", f"{DIALOGUE}::test_it_names_the_mail_for_reports_when_the_relay_offers_dsn", f"{INBOUND}receive.py::test_the_envid_alone_proves_it"),
    "R23": (f"{INBOUND}effects.py::test_it_records_a_forged_report_and_changes_nothing", "tests/unit/inbound/test_marks.py::test_it_believes_no_mark_with_one_letter_changed"),
    "R24": (f"{MAIL}::test_it_keeps_to_the_limits",),
    "R26": (f"{HOSTILE}::test_it_takes_no_trick_at_any_way_in", f"{HOSTILE}::test_it_carries_any_name"),
}  # fmt: skip
PARSED = {"R21", "R22"}  # read by tests/unit/inbound: every test there is about them


def test_it_holds_every_row_or_says_why_not() -> None:
    rows = [f"P{number}" for number in range(1, 18)] + [f"R{number}" for number in range(1, 27)]
    excused = set(re.findall(r"^- \*\*([PR]\d+)\*\*", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert [row for row in rows if row not in set(ROWS) | PARSED | excused] == []


@pytest.mark.parametrize("row", ROWS)
def test_it_names_tests_that_exist(row: str) -> None:
    for place in ROWS[row]:
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), place


@pytest.mark.parametrize(
    "line",
    [
        "421 4.7.0 This message does not have authentication information or fails to pass authentication checks",
        "421 4.7.26 This mail has been rate limited because it is unauthenticated",
        "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail",
        "421 4.7.29 This mail is blocked because it was not sent over a TLS connection",
        "421 4.7.32 The From: header is not aligned with either the SPF or DKIM domain",
        "550 5.7.1 Our system has detected that this message is likely unsolicited mail",
        "550 5.7.25 The IP address sending this message does not have a PTR record",
        "550 5.7.26 This mail is unauthenticated, which poses a security risk",
        "550 5.7.27 This mail has been blocked because the sender is unauthenticated with SPF",
        "550 5.7.30 This mail is blocked because DKIM did not pass",
        "550 5.7.515 Access denied, sending domain does not meet the required authentication level",
    ],
)
def test_it_blames_no_person_for_what_gmail_says_of_us(line: str) -> None:
    """P3: a rejection of our set-up, temporary or permanent, is ours: it never ends an address nor counts a strike."""
    from challenge.delivery.replies import Reply, Stage, Verdict, classify

    verdict = classify(Reply.read(int(line[:3]), line[4:].encode(), Stage.dot)).verdict
    expected = Verdict.retry_untouched if line.startswith("4") else Verdict.sender_refused
    assert verdict is expected


def test_it_reads_the_reports_of_both_kinds() -> None:
    """R21, R22, P16."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if "inbound" in path.parts)
    assert "delivery-status" in tests
    assert "feedback-report" in tests
