"""Latencies at equal clocks: what the CPUs' clock did is taken out, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.merge.clocks import at_equal_clocks, clock_of
from orchestrator.merge.compare import compare
from orchestrator.merge.series import Series

GROUP = (("model", "spam"), ("batch", 1))
SHARED = 1.6  # a neighbour on the core: this much slower


def moving(
    rng: np.random.Generator, *, cells: dict[str, float], rounds: int, slopes: dict[str, float] | None = None
) -> list[Series]:
    """Cells of a latency each, whose trials meet a clock that halves and comes back at random."""
    out = []
    for name, latency in cells.items():
        clock = np.where(rng.random(rounds) < 0.5, 65.0, 65.0 * SHARED) * np.exp(rng.normal(0, 0.02, rounds))
        slope = (slopes or {}).get(name, 0.7)
        medians = latency * (clock / 80.0) ** slope * np.exp(rng.normal(0, 0.02, rounds))
        out.append(Series(id=name, group=GROUP, medians_ms={"s1": dict(enumerate(medians.tolist()))},
                          clocks={"s1": {turn: (value, value) for turn, value in enumerate(clock.tolist())}}))
    return out


def scatter(series: Series) -> float:
    return float(np.std(np.log(list(series.medians_ms["s1"].values()))))


def without_clocks(series: list[Series]) -> list[Series]:
    return [Series(id=one.id, group=one.group, medians_ms=one.medians_ms) for one in series]


def test_what_the_clock_did_is_taken_out() -> None:
    before = moving(np.random.default_rng(1), cells={"a": 1.0, "b": 3.0, "c": 9.0}, rounds=12)
    after, slopes = at_equal_clocks(before)
    assert slopes is not None
    assert slopes.own + slopes.all == pytest.approx(0.7, abs=0.1)
    assert slopes.spread > 1.5
    assert all(scatter(one) > 0.1 for one in before)
    assert all(scatter(one) < 0.04 for one in after)
    assert [set(one.medians_ms["s1"]) for one in after] == [set(one.medians_ms["s1"]) for one in before]


def test_a_difference_is_found_that_the_clock_would_have_hidden() -> None:
    series = moving(np.random.default_rng(2), cells={"fast": 1.0, "slow": 1.12, "slower": 1.3}, rounds=8)
    with_them = {frozenset((one.a, one.b)): one for one in compare(series)}
    found = with_them[frozenset(("fast", "slow"))]
    assert found.faster == "fast"
    assert found.clock is not None
    assert not any(one.decided for one in compare(without_clocks(series)) if {one.a, one.b} == {"fast", "slow"})


def test_equal_cells_stay_equal_whatever_the_clock_and_even_if_it_moves_one_of_them_more() -> None:
    rng = np.random.default_rng(3)
    wrong = sum(any(one.decided for one in compare(moving(
        rng, cells=dict.fromkeys("abcd", 1.0), rounds=5, slopes={"a": 0.9, "b": 0.5}))) for _ in range(150))
    assert wrong <= 6  # 2 % asked for the whole family: 3 of 150, with room for chance


def test_a_trial_without_a_reading_leaves_its_group_as_it_is() -> None:
    series = moving(np.random.default_rng(4), cells={"a": 1.0, "b": 1.0}, rounds=8)
    readings = dict(list(series[0].clocks["s1"].items())[1:])
    lacking = Series(id="c", group=GROUP, medians_ms=series[0].medians_ms, clocks={"s1": readings})
    assert at_equal_clocks([*series, lacking]) == ([*series, lacking], None)


def test_a_clock_that_stands_still_changes_nothing() -> None:
    series = [Series(id=name, group=GROUP, medians_ms={"s1": {turn: 1.0 + turn / 10 for turn in range(8)}},
                     clocks={"s1": dict.fromkeys(range(8), (70.0, 70.0))}) for name in "ab"]
    assert at_equal_clocks(series) == (series, None)


def test_few_trials_change_nothing() -> None:
    series = moving(np.random.default_rng(5), cells={"a": 1.0, "b": 1.0}, rounds=4)
    assert at_equal_clocks(series)[1] is None


def test_a_record_s_clock_is_the_thread_s_own_and_the_mean_of_all() -> None:
    found = clock_of({"measurement": {"clock": {"own_us": 60.0, "cpus_us": [50.0, 200.0]}}})
    assert found is not None
    assert found == pytest.approx((60.0, 100.0))
    assert clock_of({"measurement": {"clock": None}}) is None
    assert clock_of({"measurement": None}) is None
