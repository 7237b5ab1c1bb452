"""A batch fed as such, and row by row."""

from __future__ import annotations

from typing import Any

import pytest


def test_rows_fed_one_by_one_give_the_same_answers_in_as_many_calls(trial: Any) -> None:
    whole = trial.run(cells=[trial.cell(scenario="offline", batch=8)])
    rows = trial.run(cells=[trial.cell(scenario="offline", batch=8, options={"feeding": "rows"})])
    (one,), (other,) = whole["cells"], rows["cells"]
    assert one["status"] == other["status"] == "ok"
    for name in ("max_abs", "rel_l2", "checked", "nan"):
        assert other["fidelity"][name] == pytest.approx(one["fidelity"][name], abs=1e-6)
    assert whole["evidence"]["detail"]["calls"] == one["iterations"] + one["warmup_iterations"] + 1
    assert rows["evidence"]["detail"]["calls"] == 8 * (other["iterations"] + other["warmup_iterations"] + 1)


def test_a_buffer_that_is_reused_between_rows_does_not_spoil_them(trial: Any) -> None:
    (cell,) = trial.run(fault="reuses", cells=[trial.cell(scenario="offline", batch=8, options={"feeding": "rows"})])["cells"]
    assert cell["status"] == "ok"
    assert cell["fidelity"]["rel_l2"] < 1e-6


def test_a_model_without_batches_has_no_rows_to_feed(trial: Any) -> None:
    cell = trial.cell(scenario="offline", batch=1, options={"feeding": "rows"})
    (cell,) = trial.run(cells=[cell], batchable=False)["cells"]
    assert (cell["status"], "no batches" in cell["reason"]) == ("unsupported", True)
