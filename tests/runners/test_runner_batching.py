"""The dynamic batcher and the thread that serves, as threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scenarios.batching import Batcher, Rows, Worker  # type: ignore[import-not-found]

SAMPLES = {"x": np.arange(12, dtype=np.float32).reshape(4, 3)}


def test_a_full_batch_does_not_wait_and_the_rest_waits_no_longer_than_the_delay() -> None:
    batcher = Batcher(3, 0.05)
    batcher.put([(number, 0) for number in range(4)])
    began = time.monotonic()
    assert [number for number, _ in batcher.take()] == [0, 1, 2]
    assert [number for number, _ in batcher.take()] == [3]
    assert time.monotonic() - began >= 0.04


def test_a_batch_is_sent_off_when_the_last_one_it_has_room_for_comes() -> None:
    batcher = Batcher(2, 60.0)
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(batcher.take()))
    thread.start()
    batcher.put([(1, 0)])
    thread.join(0.1)
    assert thread.is_alive()
    batcher.put([(2, 0)])
    thread.join(10)
    assert [number for number, _ in taken] == [1, 2]


def test_after_the_end_what_waits_is_still_taken_at_once() -> None:
    batcher = Batcher(8, 60.0)
    batcher.put([(1, 0)])
    batcher.close()
    assert batcher.take() == [(1, 0)]
    assert batcher.take() is None


def serve(predict: Callable[[Any], Any], requests: list[tuple[int, int]], *, batchable: bool = True) -> tuple[Any, list[int]]:
    answered: list[int] = []
    batcher = Batcher(3 if batchable else 1, 0.0)
    worker = Worker(batcher, predict, Rows(SAMPLES, ["x"], batchable=batchable), answered.extend)
    batcher.put(requests)
    worker.stop()
    return worker, answered


def test_each_request_gets_the_row_it_asked_for_and_one_answer() -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def predict(feeds: Any) -> list[Any]:
        seen.append(feeds["x"])
        return [feeds["x"] * 2]

    worker, answered = serve(predict, [(7, 3), (8, 0), (9, 3), (10, 2)])
    assert sorted(answered) == [7, 8, 9, 10]
    assert np.concatenate(seen).tolist() == SAMPLES["x"][[3, 0, 3, 2]].tolist()
    assert sum(size * count for size, count in worker.sizes.items()) == 4
    for rows, (output,) in worker.kept:
        assert output.tolist() == (SAMPLES["x"][rows] * 2).tolist()


def test_what_is_kept_is_no_view_of_a_buffer_that_the_backend_reuses() -> None:
    buffer = np.zeros((3, 3), np.float32)

    def predict(feeds: Any) -> list[Any]:
        buffer[:len(feeds["x"])] = feeds["x"]
        return [buffer[:len(feeds["x"])]]

    worker, _ = serve(predict, [(number, number) for number in range(4)])
    assert {int(row) for rows, _ in worker.kept for row in rows} == {0, 1, 2, 3}
    for rows, (output,) in worker.kept:
        assert output.tolist() == SAMPLES["x"][rows].tolist()


@pytest.mark.parametrize("fault", ["raises", "not_array"])
def test_a_backend_that_fails_is_noted_and_every_request_is_answered_all_the_same(fault: str) -> None:
    def predict(feeds: Any) -> Any:
        if fault == "raises":
            raise RuntimeError("gone")
        return [feeds["x"].tolist()]

    worker, answered = serve(predict, [(number, number % 4) for number in range(10)])
    assert sorted(answered) == list(range(10))
    assert worker.error is not None


def test_a_model_without_a_batch_dimension_gets_its_sample_as_it_is() -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def predict(feeds: Any) -> list[Any]:
        seen.append(feeds["x"])
        return [feeds["x"]]

    _, answered = serve(predict, [(1, 0), (2, 1)], batchable=False)
    assert sorted(answered) == [1, 2]
    assert [part.shape for part in seen] == [(3,), (3,)]
