"""Accuracy on a labelled data set: counted over the whole set, at any batch, and never at the measurement's expense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result

ROWS = 45  # divided by no batch that is measured, so the last one is always filled up


def labelled(trial: Any, *, wrong: int = 0, rows: int = ROWS, labels: Any = None) -> dict[str, Any]:
    """The job's `accuracy`: labels are the network's own answers, but for `wrong` of them."""
    inputs = np.random.default_rng(11).standard_normal((rows, 200)).astype(np.float32)
    with np.load(trial.folder / "model.npz") as archive:
        weights = [archive[name] for name in sorted(archive.files)]
    values = inputs
    for weight in weights[:-1]:
        values = np.maximum(values @ weight, 0)
    right = (values @ weights[-1]).argmax(axis=1)
    right[:wrong] = (right[:wrong] + 1) % weights[-1].shape[1]
    paths = {name: str(trial.folder / f"{name}.npz") for name in ("labelled", "labels")}
    np.savez(paths["labelled"], x=inputs)
    np.savez(paths["labels"], labels=right if labels is None else labels)
    return {"inputs": paths["labelled"], "labels": paths["labels"], "metric": "top1", "output": "y"}


@pytest.mark.parametrize("wrong", [0, 7])
def test_every_cell_counts_the_whole_set_once(trial: Any, wrong: int) -> None:
    cells = [trial.cell("a"), trial.cell("b", scenario="offline", batch=8), trial.cell("c", scenario="offline", batch=64)]
    trial.run(cells=cells, accuracy=labelled(trial, wrong=wrong))
    result = read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["a", "b", "c"])
    found = [(cell["accuracy"]["correct"], cell["accuracy"]["n"]) for cell in result["cells"]]
    assert found == [(ROWS - wrong, ROWS)] * 3


def test_a_trial_that_was_not_asked_says_nothing_of_it(trial: Any) -> None:
    assert "accuracy" not in trial.run()["cells"][0]


def test_a_set_that_would_take_too_long_is_not_counted_in_part(trial: Any) -> None:
    cell = trial.cell(max_cell_s=0.4, warmup_s=0.0, min_duration_s=0.01, min_iterations=1, max_iterations=2)
    result = trial.run(fault="sleeps", cells=[cell], accuracy=labelled(trial, rows=400))
    (cell,) = result["cells"]
    assert cell["status"] == "ok"
    assert cell["accuracy"] is None
    assert "all 400 rows would take" in cell["null_reasons"]["accuracy"]


def test_labels_that_do_not_fit_the_output_cost_the_accuracy_only(trial: Any) -> None:
    (cell,) = trial.run(accuracy=labelled(trial, labels=np.zeros((ROWS, 3), np.int64)))["cells"]
    assert (cell["status"], cell["accuracy"]) == ("ok", None)
    assert "no classes for 3 labels" in cell["null_reasons"]["accuracy"]


def test_a_backend_that_fails_on_the_set_keeps_what_it_measured(trial: Any, tmp_path: Path) -> None:
    asked = labelled(trial)
    np.savez(tmp_path / "other.npz", x=np.zeros((ROWS, 3), np.float32))
    (cell,) = trial.run(accuracy={**asked, "inputs": str(tmp_path / "other.npz")})["cells"]
    assert (cell["status"], cell["accuracy"]) == ("ok", None)
    assert cell["iterations"] >= 5
    assert cell["null_reasons"]["accuracy"].startswith("ValueError")
