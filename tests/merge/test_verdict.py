from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.merge.compare import Rule, Series, compare
from orchestrator.merge.spending import Looks
from orchestrator.merge.verdict import MOST, Verdict, growth, needs_of, verdict_of

RATIOS = st.floats(0.5, 2.0)


@pytest.mark.parametrize(("interval", "verdict"), [
    ((1.03, 1.2), Verdict.DECIDED), ((0.5, 0.97), Verdict.DECIDED), ((0.99, 1.015), Verdict.TIED), ((1.005, 1.015), Verdict.TIED),
    ((1.005, 1.03), Verdict.OPEN), ((0.9, 1.1), Verdict.OPEN), (None, Verdict.OPEN), ((0.97, 1.01), Verdict.OPEN),
])
def test_decided_beyond_the_minimum_effect_tied_within_it_open_otherwise(
    interval: tuple[float, float] | None, verdict: Verdict
) -> None:
    assert verdict_of(interval, 0.02) is verdict


@given(RATIOS, RATIOS, st.floats(0.001, 0.2))
def test_a_verdict_does_not_depend_on_which_cell_comes_first(one: float, other: float, effect: float) -> None:
    low, high = sorted((one, other))
    assume(all(abs(math.log(end) - bound) > 1e-9 for end in (low, high) for bound in (math.log1p(effect), -math.log1p(effect))))
    assert verdict_of((low, high), effect) is verdict_of((1 / high, 1 / low), effect)


@given(st.floats(-0.3, 0.3), st.floats(0.001, 0.3), st.floats(0.005, 0.1))
def test_an_interval_shrunk_as_forecast_settles_the_comparison(centre: float, width: float, effect: float) -> None:
    assume(abs(abs(centre) - math.log1p(effect)) > 1e-3)
    ends = (math.exp(centre - width), math.exp(centre + width))
    factor = growth(math.exp(centre), ends, effect)
    after = width / math.sqrt(factor) * (1 - 1e-6)
    settled = verdict_of((math.exp(centre - after), math.exp(centre + after)), effect)
    assert settled is (Verdict.DECIDED if abs(centre) > math.log1p(effect) else Verdict.TIED)
    if factor > 1.02:
        wider = after * 1.01
        assert verdict_of((math.exp(centre - wider), math.exp(centre + wider)), effect) is Verdict.OPEN


def test_at_the_minimum_effect_itself_no_number_of_trials_is_promised() -> None:
    assert growth(1.02, (0.95, 1.1), 0.02) > 1e9
    found = needs_of(math.inf, 5, round_s=2.0)
    assert (found.trials, found.seconds, found.at_least) == (2 * MOST * 5, MOST * 5 * 2.0, True)


def test_needs_count_trials_of_both_cells_and_their_time() -> None:
    assert needs_of(5.2, 5, round_s=3.0).to_json() == {"trials": 12, "seconds": 18.0, "at_least": False}
    assert needs_of(5.2, 5, round_s=None).seconds is None


def series(rng: np.random.Generator, name: str, sigma: float, trials: int, factor: float = 1.0) -> Series:
    logs = rng.normal(math.log(factor), sigma, trials)
    return Series(id=name, group=(("model", "m"),), medians_ms={"s1": {i: math.exp(x) for i, x in enumerate(logs)}})


def test_only_what_is_open_has_needs_and_they_shrink_with_the_noise() -> None:
    needs = {}
    for sigma in (0.02, 0.05):
        rng = np.random.default_rng(3)
        [found] = compare([series(rng, "a", sigma, 6), series(rng, "b", sigma, 6)], costs_s={"a": 1.0, "b": 2.0})
        assert found.verdict is Verdict.OPEN
        assert found.needs is not None
        assert found.needs.seconds == pytest.approx(found.needs.trials / 2 * 3.0)
        needs[sigma] = found.needs.trials
    assert 4 < needs[0.02] < needs[0.05]
    rng = np.random.default_rng(3)
    [tied] = compare([series(rng, "a", 0.001, 8), series(rng, "b", 0.001, 8)])
    assert (tied.verdict, tied.needs, tied.decided) == (Verdict.TIED, None, False)


def test_the_forecast_is_about_what_it_takes() -> None:
    """Median over draws of (pairs forecast ÷ pairs at which it was settled) is near 1."""
    parts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = series(rng, "a", 0.03, 400, 1.12), series(rng, "b", 0.03, 400)
        for count in range(7, 400):
            cut = [Series(id=s.id, group=s.group, medians_ms={"s1": {r: s.medians_ms["s1"][r] for r in range(count)}})
                   for s in (a, b)]
            [found] = compare(cut)
            if count == 7:
                first = found
            if found.verdict is not Verdict.OPEN:
                break
        if first.needs is not None:
            parts.append((7 + first.needs.trials / 2) / count)
    assert 0.5 < float(np.median(parts)) < 2


def test_a_pair_with_too_few_rounds_in_one_state_needs_the_missing_ones() -> None:
    one = Series(id="a", group=(("m", 1),), medians_ms={"s1": {0: 1.0}, "s2": {1: 1.0}})
    other = Series(id="b", group=(("m", 1),), medians_ms={"s1": {0: 2.0, 1: 2.0}})
    [found] = compare([one, other])
    assert (found.pairs, found.verdict) == (1, Verdict.OPEN)
    assert found.needs is not None
    assert found.needs.trials == 8  # two more pairs, and every second round gave one


def test_a_run_that_looks_more_than_once_draws_wider_intervals() -> None:
    rng = np.random.default_rng(1)
    pair = [series(rng, "a", 0.02, 12), series(rng, "b", 0.02, 12)]
    widths = []
    for looks in (None, Looks(first=12), Looks(first=5)):
        [found] = compare(pair, Rule(looks=looks))
        assert found.interval is not None
        widths.append(found.interval[1] - found.interval[0])
    assert widths[0] < widths[1] < widths[2] < 2 * widths[0]
