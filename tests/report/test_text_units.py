"""Text made safe and numbers made readable."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import Status
from orchestrator.report.status import Family, status_text
from orchestrator.report.text import clean, joined, one_line, tail
from orchestrator.report.units import MICROSECONDS, MILLISECONDS, SECONDS, Unit, quantity, time_scale, with_interval


@given(st.text())
def test_cleaned_text_has_no_control_characters_but_newline_and_tab(text: str) -> None:
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in clean(text))


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    short = one_line(text, limit)
    assert len(short) <= limit
    assert "\n" not in short


def test_terminal_sequences_vanish_and_bidirectional_overrides_show() -> None:
    assert clean("\x1b[31mred\x1b[0m\x1b]0;title\x07") == "red"
    assert clean("a\u202eb") == "a\ufffdb"


def test_tail_keeps_the_end_and_says_what_was_cut() -> None:
    assert tail("abcdef", 3) == "… (the last 3 of 6 characters)\ndef"
    assert tail("abc", 3) == "abc"


@pytest.mark.parametrize(("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_joined_as_in_a_sentence(words: list[str], text: str) -> None:
    assert joined(words) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (12.1, 12.04, 12.26, ("12.1", "12.0–12.3")),
        (100.04, 100.01, 100.07, ("100.04", "100.01–100.07")),
        (1234567.0, 1234000.0, 1235000.0, ("1,234,567", "1,234,000–1,235,000")),
        (0.011, 0.010, 0.012, ("0.0110", "0.0100–0.0120")),
        (5.0, 5.0, 5.0, ("5.00", "5.00–5.00")),
        (163.0, 0.021, 171.0, ("163", "0.0210–171")),
        (5.0, None, None, ("5.00", None)),
    ],
)
def test_interval_is_shown_with_the_digits_it_needs(
    value: float, low: float | None, high: float | None, shown: tuple[str, str | None]
) -> None:
    assert with_interval(value, low, high) == shown


def test_one_unit_of_time_is_chosen_by_the_smallest() -> None:
    assert time_scale([0.011, 500.0]) is MICROSECONDS
    assert time_scale([5.0, 50_000.0]) is MILLISECONDS
    assert time_scale([12_000.0]) is SECONDS
    assert time_scale([]) is MILLISECONDS


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.93, Unit.FRACTION, "193 %"), (3.0, Unit.COUNT, "3"), (90957.2, Unit.PER_SECOND, "90,957/s"), (0.0, Unit.MB, "0 MB"),
     (0.011, Unit.MS, "11.0 µs"), (1.2e-7, Unit.SECONDS, "1.2e-07 s"), (0.5, Unit.JOULE, "0.500 J")],
)
def test_quantity_has_its_unit(value: float, unit: Unit, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_words_and_only_ok_is_good(status: Status) -> None:
    words = status_text(status.value)
    assert words.title
    assert words.meaning.endswith(".")
    assert (words.family is Family.GOOD) == (status is Status.OK)
    assert (words.family is Family.HOST) == status.is_infrastructure


def test_status_of_a_later_version_is_shown_under_its_own_name() -> None:
    assert status_text("melted_down").title == "melted down"
    assert status_text(None).family is Family.FAILED
