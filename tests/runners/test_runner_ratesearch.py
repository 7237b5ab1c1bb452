"""The server scenario's pure parts: the search for a rate, LoadGen's early-stopping rule, whether a queue grows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import early_stopping, queueing, ratesearch  # type: ignore[import-not-found]

Integers = npt.NDArray[np.int64]


def search(holds: Callable[[float, Any], bool], *, start: float, seconds: float = math.inf) -> tuple[Any, float]:
    """The search over a made-up server on a clock that only runs advance; a full run takes four times a short one."""
    spent = 0.0

    def cost(_rate: float, length: Any) -> float:
        return 4.0 if length is ratesearch.Length.FULL else 1.0

    def run(rate: float, length: Any) -> bool:
        nonlocal spent
        spent += cost(rate, length)
        return holds(rate, length)

    found = ratesearch.highest_rate(run, cost, lambda: seconds - spent, start=start, floor=0.001)
    return found, spent


@given(limit=st.floats(1.0, 1e5), start=st.floats(0.2, 3.0))
def test_a_limit_is_found_to_the_precision_promised(limit: float, start: float) -> None:
    found, _ = search(lambda rate, _: rate <= limit, start=limit * start)
    assert found.rate is not None
    assert limit / (1 + ratesearch.PRECISION) <= found.rate <= limit
    assert found.lowest_failed is None or found.lowest_failed > limit
    assert not found.out_of_time


@given(seed=st.integers(0, 10**6), seconds=st.floats(1, 60), start=st.floats(0.1, 1000))
def test_a_rate_that_is_returned_held_in_full_and_lies_below_all_that_failed(seed: int, seconds: float, start: float) -> None:
    rng = random.Random(seed)
    found, spent = search(lambda _rate, _length: rng.random() < 0.6, start=start, seconds=seconds)
    assert spent <= seconds
    assert len([one for one in found.tried if one.length is ratesearch.Length.SHORT]) <= ratesearch.MAX_SHORT
    if found.rate is not None:
        last = found.tried[-1]
        assert (last.rate, last.length, last.holds) == (found.rate, ratesearch.Length.FULL, True)
        assert all(found.rate < one.rate for one in found.tried if not one.holds)


@given(limit=st.floats(1.0, 1e5), strictness=st.floats(0.3, 1.0))
def test_a_full_run_that_is_stricter_than_the_short_ones_has_the_last_word(limit: float, strictness: float) -> None:
    def holds(rate: float, length: Any) -> bool:
        return rate <= (limit * strictness if length is ratesearch.Length.FULL else limit)

    found, _ = search(holds, start=limit)
    assert found.rate is not None
    assert limit * strictness * (1 - ratesearch.LAST_STEP) <= found.rate <= limit * strictness


def test_with_time_for_one_more_full_run_the_step_down_is_a_large_one() -> None:
    def holds(rate: float, length: Any) -> bool:
        return rate <= (80 if length is ratesearch.Length.FULL else 100)

    found, _ = search(holds, start=95, seconds=13)
    assert found.rate is not None
    assert found.rate <= 80


def test_where_nothing_holds_there_is_no_rate_and_the_search_ends() -> None:
    found, _ = search(lambda _rate, _length: False, start=100)
    assert found.rate is None
    assert not found.out_of_time
    assert found.tried


def test_a_search_without_time_says_so() -> None:
    found, spent = search(lambda _rate, _length: True, start=100, seconds=3)
    assert (found.rate, found.out_of_time, spent) == (None, True, 0)


@pytest.mark.parametrize(
    ("percentile", "totals"),
    [(0.9, {0: 44, 1: 64, 5: 127}), (0.99, {0: 459, 1: 662, 5: 1_307, 50: 6_898}), (0.999, {0: 4_603, 1: 6_636})],
)
def test_the_rule_needs_as_many_requests_as_loadgen_says(percentile: float, totals: dict[int, int]) -> None:
    assert {misses: early_stopping.needed_requests(misses, percentile) for misses in totals} == totals


@given(requests=st.integers(1, 5_000), percentile=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_misses_allowed_and_requests_needed_agree(requests: int, percentile: float) -> None:
    allowed = early_stopping.allowed_misses(requests, percentile)
    needed = early_stopping.needed_requests(0 if allowed is None else allowed, percentile)
    assert (allowed is None) == (needed > requests)
    if allowed is not None:
        assert early_stopping.needed_requests(allowed + 1, percentile) > requests


def test_the_bound_covers_the_true_percentile_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    true = -math.log(1 - 0.9)
    bounds = [early_stopping.upper_bound(np.sort(rng.exponential(size=400)), 0.9) for _ in range(600)]
    assert sum(bound >= true for bound in bounds) >= 0.97 * len(bounds)
    assert early_stopping.upper_bound([1, 2, 3], 0.9) is None


def served(utilisation: float, requests: int, seed: int) -> tuple[Integers, Integers]:
    """(due, latency) in ns of Poisson arrivals at a server that takes one time unit for each."""
    due = np.cumsum(np.random.default_rng(seed).exponential(1 / utilisation, requests))
    done, free = np.empty(requests), 0.0
    for number, arrived in enumerate(due):
        free = max(free, float(arrived)) + 1
        done[number] = free
    return (due * 1e6).astype(np.int64), ((done - due) * 1e6).astype(np.int64)


def grown(utilisation: float, requests: int, runs: int = 40) -> float:
    return float(np.mean([queueing.queue_of(*served(utilisation, requests, seed), 1).grows for seed in range(runs)]))


def test_a_queue_above_capacity_grows_and_one_below_does_not() -> None:
    assert grown(1.2, 1_300) == 1
    assert grown(1.1, 5_000) == 1
    assert grown(0.8, 1_300) <= 0.05
    assert grown(0.5, 200) <= 0.05


def test_growth_is_what_comes_in_less_what_goes_out() -> None:
    queue = queueing.queue_of(*served(1.5, 5_000, 1), 1)
    assert queue.growth_per_s == pytest.approx(500, rel=0.1)  # 1,500 a second come, 1,000 go
    assert queue.largest == pytest.approx(5_000 / 3, rel=0.1)
    assert queue.mean == pytest.approx(queue.largest / 2, rel=0.1)
