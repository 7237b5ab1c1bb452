"""The timed loop and the batches it rotates through."""

from __future__ import annotations

import itertools
import time
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

measure: Any = import_module("measure")


def rows_of(count: int, width: int = 3) -> dict[str, Any]:
    return {"x": np.arange(count * width, dtype=np.float32).reshape(count, width), "y": np.arange(count, dtype=np.int64)}


@given(count=st.integers(1, 20), batch=st.integers(1, 70))
def test_batch_i_holds_the_rows_from_i_on_modulo_the_samples(count: int, batch: int) -> None:
    samples = rows_of(count)
    batches = measure.build_batches(samples, ["x", "y"], batch, batchable=True)
    assert len(batches.feeds) == len(batches.rows) == count
    for number, (feeds, rows) in enumerate(zip(batches.feeds, batches.rows, strict=True)):
        assert list(rows) == [(number + i) % count for i in range(batch)]
        for name in ("x", "y"):
            np.testing.assert_array_equal(feeds[name], samples[name][rows])
            assert feeds[name].flags.c_contiguous
            assert feeds[name].ctypes.data % measure.ALIGNMENT == 0


@pytest.mark.parametrize("width", [16, 3])  # rows that are whole cache lines, and rows that are not
def test_large_batches_are_windows_of_one_array(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(measure, "COPIES_MB", 0.001)
    samples = {"x": np.random.default_rng(0).random((8, width), np.float32)}
    batches = measure.build_batches(samples, ["x"], 100, batchable=True)
    assert len(batches.feeds) >= 2
    assert batches.resident_mb * 2**20 < 120 * width * 4
    for feeds, rows in zip(batches.feeds, batches.rows, strict=True):
        np.testing.assert_array_equal(feeds["x"], samples["x"][rows])


def test_a_model_without_a_free_batch_gets_one_sample_of_its_own_shape_at_a_time() -> None:
    samples = {"x": np.zeros((4, 2, 5), np.float16), "scalar": np.arange(4.0)}
    batches = measure.build_batches(samples, ["x", "scalar"], 2, batchable=False)
    assert [feeds["x"].shape for feeds in batches.feeds] == [(2, 5)] * 4
    assert [feeds["scalar"].shape for feeds in batches.feeds] == [()] * 4
    assert [float(feeds["scalar"]) for feeds in batches.feeds] == [0, 1, 2, 3]
    assert not batches.batched


def test_a_model_without_inputs_has_one_empty_batch() -> None:
    assert measure.build_batches({}, [], 1, batchable=False).feeds == [{}]


@given(minimum=st.integers(1, 300), maximum=st.integers(1, 1500), guess=st.integers(1, 10**7))
def test_the_loop_never_runs_more_than_the_maximum(minimum: int, maximum: int, guess: int) -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)
    capture = measure.Capture([None] * 5)
    limits = measure.Limits(0, minimum, maximum, 10**10)
    loop = measure.timed_loop(lambda feeds: [feeds["x"]], batches, capture, limits, guess)
    assert min(minimum, maximum) <= len(loop.samples) <= maximum
    assert sum(loop.samples) <= loop.wall_ns


def test_the_loop_runs_until_both_time_and_iterations_are_enough() -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)
    def once(limits: Any) -> Any:
        return measure.timed_loop(lambda feeds: [feeds["x"]], batches, measure.Capture([None] * 5), limits, 1)

    long_enough = once(measure.Limits(20_000_000, 1, 10**6, 10**10))
    assert long_enough.wall_ns >= 20_000_000
    assert len(once(measure.Limits(0, 3_000, 10**6, 10**10)).samples) >= 3_000
    assert once(measure.Limits(10**10, 10**6, 10**7, 5_000_000)).wall_ns < 10**9


def test_the_loop_keeps_the_last_output_of_each_batch_it_has_room_for() -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)
    capture = measure.Capture([None] * 3)  # two kept, one place for the rest
    count = itertools.count()
    measure.timed_loop(lambda feeds: [feeds["x"] + 0, np.array(next(count))], batches, capture, measure.Limits(0, 10, 10, 1), 1)
    kept = capture.kept()
    assert [number for number, _ in kept] == [0, 1]
    for number, outputs in kept:
        np.testing.assert_array_equal(outputs[0], batches.feeds[number]["x"])
    assert [int(outputs[1]) for _, outputs in kept] == [8, 9]


def test_capture_is_bounded_by_memory_but_holds_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "CAPTURE_MB", 0.001)
    batches = measure.build_batches(rows_of(8), ["x"], 1, batchable=True)
    assert len(measure.capture_for(batches, [np.zeros(10)]).slots) == 9
    assert len(measure.capture_for(batches, [np.zeros(10**6)]).slots) == 3


def test_outputs_that_share_memory_are_taken_again_and_copied() -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)
    buffer = np.zeros((1, 3), np.float32)

    def predict(feeds: Any) -> Any:
        np.multiply(feeds["x"], 2, out=buffer)
        return [buffer[:]]

    capture = measure.Capture([None] * 5)
    measure.timed_loop(predict, batches, capture, measure.Limits(0, 9, 9, 1), 1)
    measure.secure_outputs(predict, batches, capture)
    assert capture.reused
    for number, outputs in capture.kept():
        np.testing.assert_array_equal(outputs[0], batches.feeds[number]["x"] * 2)


def test_outputs_of_one_inference_may_share_memory_with_each_other() -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)

    def predict(feeds: Any) -> Any:
        whole = feeds["x"] * 2
        return [whole, whole[:, :1]]

    capture = measure.Capture([None] * 5)
    measure.timed_loop(predict, batches, capture, measure.Limits(0, 9, 9, 1), 1)
    measure.secure_outputs(predict, batches, capture)
    assert not capture.reused


def test_warming_up_runs_at_least_twice_and_gives_up_where_measuring_would_take_too_long() -> None:
    batches = measure.build_batches(rows_of(4), ["x"], 1, batchable=True)
    assert len(measure.warm_up(lambda feeds: [feeds["x"]], batches, 0.0, 5, 10.0).samples) == 2
    calls = []
    def slow(feeds: Any) -> Any:
        calls.append(feeds)
        time.sleep(0.02)

    with pytest.raises(measure.TooSlow, match="one inference takes"):
        measure.warm_up(slow, batches, 10.0, 5, 0.05)
    assert len(calls) == 1


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300))
def test_packed_samples_unpack_to_the_same(values: list[int]) -> None:
    import base64
    import zlib

    packed = measure.pack(values)
    assert packed["count"] == len(values)
    assert np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<u8").tolist() == values


@pytest.mark.parametrize("outputs", [None, np.zeros(3), {"y": np.zeros(3)}, [np.zeros(3), 1.0], [[1, 2]]])
def test_what_is_no_list_of_arrays_is_refused(outputs: Any) -> None:
    with pytest.raises(measure.BadOutput):
        measure.check_outputs(outputs)
