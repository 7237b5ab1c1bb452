"""What a trial says of its timed loop: when it ran, whether the work was done in it, and what it took without copies."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any


def test_the_window_is_that_of_the_timed_loop(trial: Any) -> None:
    begin = time.monotonic_ns()
    cell = trial.run(cells=[trial.cell("one", scenario="offline", batch=4)])["cells"][0]
    window = cell["window"]
    assert begin < window["begin_ns"] < window["end_ns"] < time.monotonic_ns()
    assert window["end_ns"] - window["begin_ns"] == round(cell["wall_s"] * 1e9)
    assert window["inferences"] == 4 * cell["iterations"]


def test_an_inference_that_returns_before_its_work_is_done_is_refused(trial: Any) -> None:
    cell = trial.run(fault="unfinished")["cells"][0]
    assert (cell["status"], cell["phase"]) == ("failed", "measure")
    assert "before its work was done" in cell["reason"]


def test_only_what_can_be_waited_for_can_return_early() -> None:
    adapter, cell = import_module("adapters.base").Adapter, import_module("cell")

    class OnDevice(adapter):  # type: ignore[misc, valid-type]
        def synchronize(self) -> None:
            """Waits for a device."""

    assert cell.has_more_to_do(OnDevice())
    assert not cell.has_more_to_do(adapter())


def test_a_device_with_memory_of_its_own_gets_a_second_figure(trial: Any) -> None:
    cell = trial.run(fault="on_device")["cells"][0]
    assert cell["status"] == "ok"
    assert cell["device_resident"]["samples"]["count"] >= 5
    assert cell["device_resident"]["distinct_batches"] == 4
    assert "device_resident" not in cell["null_reasons"]


def test_a_second_figure_that_fails_leaves_the_first(trial: Any) -> None:
    cell = trial.run(fault="on_device_breaks")["cells"][0]
    assert (cell["status"], cell["device_resident"]) == ("ok", None)
    assert "the device is full" in cell["null_reasons"]["device_resident"]
