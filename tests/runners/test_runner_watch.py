"""The clock beside the timed loop: it is read, it costs the figures nothing, and it never hangs a trial."""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

watch: Any = import_module("watch")
measure: Any = import_module("measure")

CPUS = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWER_LIMIT_S", 30.0)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_every_cpu_is_read_and_no_process_stays() -> None:
    before = children()
    looker = watch.Watch(CPUS)
    for _ in range(3):
        assert looker.look() > 0
    report = looker.report()
    looker.close()
    assert report["looks"] == 3
    assert len(report["cpus_us"]) == len(CPUS)
    assert min(report["own_us"], *report["cpus_us"]) > 0
    assert report["took_ms"] > 0
    assert children() <= before


def test_one_look_is_no_figure_and_a_new_cell_begins_anew() -> None:
    looker = watch.Watch(CPUS)
    try:
        looker.look()
        with pytest.raises(ValueError, match="1 looks"):
            looker.report()
        looker.look()
        looker.report()
        looker.begin()
        with pytest.raises(ValueError, match="0 looks"):
            looker.report()
    finally:
        looker.close()


def test_an_answer_that_does_not_come_ends_the_looking_and_not_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    looker = watch.Watch(CPUS)
    try:
        monkeypatch.setattr(watch, "ANSWER_LIMIT_S", 0.0)
        os.kill(looker._pids[0], 19)  # SIGSTOP
        looker.look()
        looker.look()
        with pytest.raises(ValueError, match="0 looks"):
            looker.report()
    finally:
        looker.close()


def test_looks_are_outside_the_samples_and_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LOOK_EVERY_NS", 2_000_000)

    class Slow:
        """Takes so long that it would show in the samples."""

        looks = 0

        def begin(self) -> None: ...

        def look(self) -> int:
            self.looks += 1
            began = time.perf_counter_ns()
            time.sleep(0.05)
            return time.perf_counter_ns() - began

    def predict(feeds: dict[str, Any]) -> list[Any]:
        time.sleep(0.001)
        return [feeds["x"]]

    slow = Slow()
    batches = measure.build_batches({"x": np.zeros((4, 3), np.float32)}, ["x"], 1, batchable=True)
    loop = measure.timed_loop(predict, batches, measure.Capture([None] * 5), measure.Limits(0, 30, 30, 10**10), 10**7, slow)
    assert slow.looks >= 3
    assert loop.paused_ns >= (slow.looks - 2) * 50_000_000
    assert sorted(loop.samples)[len(loop.samples) // 2] < 50_000_000
    assert sum(loop.samples) <= loop.wall_ns - loop.paused_ns
