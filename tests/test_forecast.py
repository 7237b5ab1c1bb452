from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.forecast import duration_text, needs_text


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (-3, "0 s"), (40.4, "40 s"), (60, "1 min"), (200, "3 min 20 s"), (1290, "21 min"),
    (3600, "1 h"), (7500, "2 h 5 min"),
])
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_forecast_says_how_many_how_long_and_whether_it_fits() -> None:
    assert needs_text(12, 40.0, at_least=False) == "about 12 more trials, 40 s"
    assert needs_text(12, 40.0, at_least=False, left_s=39.0) == "about 12 more trials, 40 s; more than the budget"
    assert needs_text(12, 40.0, at_least=False, left_s=41.0) == "about 12 more trials, 40 s"
    assert needs_text(1234, None, at_least=False) == "about 1,300 more trials"
    assert needs_text(1000, 2000.0, at_least=True).startswith("more than 1,000 more trials, 33 min; perhaps never")


@given(st.integers(1, 10**7))
def test_a_forecast_is_never_rounded_down(trials: int) -> None:
    said = int(needs_text(trials, None, at_least=False).split()[1].replace(",", ""))
    assert trials <= said <= 1.1 * trials + 1
