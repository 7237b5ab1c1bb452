from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.meters.series import EDGE_SHARE, AbsentError, Series, Window

MS = 1_000_000


def series(
    power_w: float, *, step_ms: int, read_ms: int, until_ms: int, modulus: float | None = None, start: float = 0.0
) -> Series:
    """A counter of a steady power that is refreshed every `step_ms` and read every `read_ms`."""
    found = Series(modulus=modulus)
    for at in range(0, until_ms + 1, read_ms):
        raw = start + power_w * (at // step_ms * step_ms) / 1e3
        found.add(at * MS, raw if modulus is None else raw % modulus)
    return found


@given(
    power=st.floats(0.5, 1000), step=st.integers(1, 120), read=st.integers(1, 120), begin=st.integers(300, 900),
    length=st.integers(1, 4000),
)
def test_a_steady_power_is_found_within_the_stated_resolution_or_refused(
    power: float, step: int, read: int, begin: int, length: int
) -> None:
    window = Window(begin_ns=begin * MS, end_ns=(begin + length) * MS)
    read_out = series(power, step_ms=step, read_ms=read, until_ms=6000)
    if length < 2 * max(step, read) / EDGE_SHARE:
        with pytest.raises(AbsentError, match="too short"):
            read_out.within(window)
        return
    if length <= 2 * (step + read) / EDGE_SHARE:
        return  # whether it is enough depends on how steps and readings fall
    found = read_out.within(window)
    assert found.resolution <= EDGE_SHARE
    assert found.amount == pytest.approx(power * length / 1e3, rel=found.resolution + 1e-9)


@given(start=st.floats(0, 99.9), power=st.floats(1, 50))
def test_a_counter_that_wraps_gives_what_one_without_end_gives(start: float, power: float) -> None:
    window = Window(begin_ns=500 * MS, end_ns=5500 * MS)
    wrapped = series(power, step_ms=1, read_ms=10, until_ms=6000, modulus=100.0, start=start).within(window)
    assert wrapped.amount == pytest.approx(power * 5, rel=0.01)


def test_a_counter_that_was_reset_forgets_what_it_had() -> None:
    found = Series()
    for at, raw in ((0, 500.0), (10, 501.0), (20, 3.0), (30, 4.0)):
        found.add(at * MS, raw)
    with pytest.raises(AbsentError, match="not read before"):
        found.within(Window(begin_ns=5 * MS, end_ns=25 * MS))


def test_a_window_without_an_update_after_it_is_refused() -> None:
    found = series(100, step_ms=20, read_ms=20, until_ms=1000)
    assert not found.covers(1000 * MS)
    with pytest.raises(AbsentError, match="no new value after"):
        found.within(Window(begin_ns=100 * MS, end_ns=2000 * MS))


def test_a_window_too_short_says_how_long_it_must_be() -> None:
    found = series(100, step_ms=100, read_ms=100, until_ms=3000)
    with pytest.raises(AbsentError, match=r"0\.35 s is too short.*every 100 ms, so it takes 2 s.*min_duration_s"):
        found.within(Window(begin_ns=1010 * MS, end_ns=1360 * MS))


def test_forgetting_keeps_what_a_window_from_then_on_needs() -> None:
    found = series(100, step_ms=20, read_ms=20, until_ms=3000)
    before = found.within(Window(begin_ns=1010 * MS, end_ns=2990 * MS))
    found.forget(1010 * MS)
    assert found.within(Window(begin_ns=1010 * MS, end_ns=2990 * MS)) == before
    with pytest.raises(AbsentError):
        found.within(Window(begin_ns=500 * MS, end_ns=2990 * MS))
