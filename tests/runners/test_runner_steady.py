"""When a trace is steady: known shapes, and what must hold for any trace."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

steady: Any = import_module("steady")
NEEDED, TOLERANCE, steady_from = steady.NEEDED, steady.TOLERANCE, steady.steady_from


def trace(*parts: tuple[int, float], noise: float = 0.01, seed: int = 0) -> list[int]:
    """(how many, level in µs) one after the other, with noise."""
    levels = np.concatenate([np.full(count, level) for count, level in parts])
    return [int(value) for value in levels * 1_000 * np.exp(np.random.default_rng(seed).normal(0, noise, levels.size))]


@pytest.mark.parametrize(("slow", "level"), [(0, 100), (1, 900), (17, 300), (180, 120)])
def test_the_first_inference_at_the_final_level_is_found(slow: int, level: float) -> None:
    found = steady_from(trace((slow, level), (400, 100)))
    assert found.index is not None
    assert abs(found.index - slow) <= 2
    assert found.final_ns == pytest.approx(100_000, rel=0.01)


def test_one_disturbed_inference_in_the_middle_does_not_move_it() -> None:
    disturbed = trace((10, 300), (400, 100))
    disturbed[200] *= 50
    assert steady_from(disturbed).index == steady_from(trace((10, 300), (400, 100))).index


def test_a_lucky_window_early_on_is_not_steady() -> None:
    found = steady_from(trace((50, 300), (12, 100), (50, 300), (400, 100)))
    assert found.index is not None
    assert found.index >= 105


def test_a_process_that_goes_on_changing_has_no_steady_state() -> None:
    found = steady_from([int(100_000 * 1.002 ** n) for n in range(400)])
    assert found.index is None
    assert "no steady state" in found.reason


def test_too_few_inferences_say_nothing() -> None:
    found = steady_from([100] * (NEEDED - 1))
    assert found.index is None
    assert f"{NEEDED} are needed" in found.reason


@given(st.lists(st.integers(1, 10**9), max_size=300))
def test_whatever_the_trace_the_answer_lies_in_it_and_near_the_final_level(samples: list[int]) -> None:
    found = steady_from(samples)
    if found.index is None:
        assert found.reason
        return
    assert 0 <= found.index < len(samples)
    assert found.reason == ""
    assert found.index == 0 or abs(samples[found.index - 1] - found.final_ns) > TOLERANCE * found.final_ns
