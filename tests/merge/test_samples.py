from __future__ import annotations

import base64
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ResultError
from orchestrator.merge.samples import MAX_SAMPLES, decode_samples, encode_samples, trial_numbers


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=300))
def test_samples_come_back_as_they_were(values: list[int]) -> None:
    assert decode_samples(encode_samples(values)).tolist() == values


def bomb() -> dict[str, Any]:
    packed = zlib.compress(b"\x01" * (100 << 20), 9)
    return {"encoding": "zlib+base64:<u8", "count": 20_000, "data": base64.b64encode(packed).decode()}


@pytest.mark.parametrize("samples", [
    {},
    {**encode_samples([1, 2, 3]), "encoding": "raw"},
    {**encode_samples([1, 2, 3]), "count": 2},
    {**encode_samples([1, 2, 3]), "count": 4},
    {**encode_samples([1, 2, 3]), "count": True},
    {**encode_samples([1, 2, 3]), "count": MAX_SAMPLES + 1},
    {**encode_samples([1, 2, 3]), "data": "~~~"},
    {**encode_samples([1, 2, 3]), "data": base64.b64encode(b"not zlib").decode()},
    {**encode_samples([1, 2, 3]), "data": "A" * 100_000},
    {**encode_samples([1, 2, 3]), "data": None},
    {**encode_samples([1, 2, 3]), "data": base64.b64encode(zlib.compress(b"\x01" * 24)[:-4]).decode()},
    encode_samples([1, 0, 3]),
    encode_samples([1, 2**63, 3]),
    bomb(),
])
def test_samples_that_cannot_be_are_refused(samples: dict[str, Any]) -> None:
    with pytest.raises(ResultError):
        decode_samples(samples)


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    samples = bomb()
    tracemalloc.start()
    try:
        with pytest.raises(ResultError):
            decode_samples(samples)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("count", "known"), [
    (2, set()), (3, {"p50"}), (63, {"p50"}), (64, {"p50", "p90"}), (129, {"p50", "p90"}), (130, {"p50", "p90", "p95"}),
    (661, {"p50", "p90", "p95"}), (662, {"p50", "p90", "p95", "p99"}), (6636, {"p50", "p90", "p95", "p99", "p99_9"}),
])
def test_a_percentile_needs_its_samples(count: int, known: set[str]) -> None:
    numbers = trial_numbers(np.arange(1, count + 1, dtype=np.uint64), 1)
    assert {name for name, value in numbers.percentiles.items() if value is not None} == known


def test_a_percentile_is_a_sample_and_time_is_in_milliseconds_per_call() -> None:
    numbers = trial_numbers(np.arange(1, 101, dtype=np.uint64) * 1_000_000, 4)
    assert numbers.percentiles["p50"] == pytest.approx(50.5)
    assert numbers.percentiles["p90"] == pytest.approx(90.0)
    assert numbers.minimum == pytest.approx(1.0)
    assert numbers.throughput_ips == pytest.approx(100 * 4 / 5.05)


def test_drift_compares_the_halves_and_autocorrelation_sees_waves() -> None:
    calm = trial_numbers(np.array([100, 102] * 50, dtype=np.uint64), 1)
    rising = trial_numbers(np.array([100] * 50 + [110] * 50, dtype=np.uint64), 1)
    assert calm.drift == 0
    assert calm.autocorrelation == pytest.approx(-0.99)
    assert rising.drift == pytest.approx(0.1)
    assert rising.autocorrelation is not None
    assert rising.autocorrelation > 0.9


def test_what_has_no_meaning_is_none() -> None:
    flat = trial_numbers(np.full(50, 7, dtype=np.uint64), 1)
    short = trial_numbers(np.array([5, 6, 7], dtype=np.uint64), 1)
    assert flat.autocorrelation is None
    assert short.drift is None
    assert short.autocorrelation is None
