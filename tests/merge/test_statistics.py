from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merge.statistics import Stability, expanded_tail, median, median_interval, stability

positive = st.floats(1e-3, 1e6, allow_nan=False)


@given(st.lists(positive, min_size=2, max_size=40))
def test_an_interval_holds_its_median_and_stays_within_the_values(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval is not None
    assert min(values) <= interval[0] <= median(values) <= interval[1] <= max(values)


@given(st.lists(positive, min_size=2, max_size=12), st.randoms())
def test_an_interval_does_not_depend_on_the_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_interval(shuffled) == median_interval(values)


@given(st.lists(positive, min_size=2, max_size=12), st.sampled_from([0.25, 2.0, 1024.0]))
def test_an_interval_scales_with_the_values(values: list[float], factor: float) -> None:
    plain, scaled = median_interval(values), median_interval([factor * value for value in values])
    assert plain is not None
    assert scaled == pytest.approx((factor * plain[0], factor * plain[1]), rel=1e-12)


def test_one_value_has_no_interval() -> None:
    assert median_interval([3.0]) is None


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_few_trials_give_their_whole_range(count: int) -> None:
    values = [float(2**i) for i in range(count)]
    assert median_interval(values) == (values[0], values[-1])


@pytest.mark.parametrize("count", [5, 10, 11, 20, 31, 301])
def test_the_closed_form_is_what_resampling_converges_to(count: int) -> None:
    rng = np.random.default_rng(count)
    values = rng.lognormal(0, 0.2, count)
    drawn = np.median(values[rng.integers(0, count, (40_000, count))], axis=1)
    tail = max(expanded_tail(count, 0.8), 1e-9)
    low, high = median_interval(list(values), 0.8) or (0.0, 0.0)
    for end, level in ((low, tail), (high, 1 - tail)):  # the ends are quantiles of the drawn medians, give or take noise
        assert (drawn < end * (1 - 1e-9)).mean() <= level + 0.01
        assert (drawn <= end * (1 + 1e-9)).mean() >= level - 0.01


@pytest.mark.parametrize(("count", "least"), [(5, 0.92), (6, 0.95), (10, 0.93), (20, 0.92)])
def test_the_interval_covers_as_often_as_it_says(count: int, least: float) -> None:
    rng = np.random.default_rng(7)
    draws = rng.lognormal(0, 0.05, (1500, count))
    hits = sum(low <= 1 <= high for low, high in (median_interval(list(row)) or (0, 0) for row in draws))
    assert hits / len(draws) >= least


@pytest.mark.parametrize(("ends", "drift", "valid", "verdict"), [
    ((0.996, 1.004), 0.0, 5, Stability.STABLE),
    ((0.996, 1.004), 0.03, 5, Stability.NOISY),
    ((0.996, 1.004), -0.2, 5, Stability.UNSTABLE),
    ((0.996, 1.004), None, 4, Stability.NOISY),
    ((0.98, 1.02), 0.0, 5, Stability.NOISY),
    ((0.97, 1.03), 0.0, 5, Stability.UNSTABLE),
    (None, 0.0, 1, Stability.UNSTABLE),
])
def test_the_verdict_follows_width_drift_and_missing_trials(
    ends: tuple[float, float] | None, drift: float | None, valid: int, verdict: Stability
) -> None:
    assert stability(interval=ends, centre=1.0, drift=drift, valid=valid, asked=5) is verdict
