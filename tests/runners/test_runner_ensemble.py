"""Models that share a device, in one process and in several: the real runner, with members that behave and that do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result

BOTH = pytest.mark.parametrize("layout", ["one_process", "processes"])


def job(trial: Any, layout: str, **changes: Any) -> dict[str, Any]:
    """Two members from the same network; the second's folder is its own, so that a fault can be planted in it alone."""
    other = trial.folder / "other"
    if not other.exists():
        other.mkdir()
        for name in ("model.npz", "inputs.npz", "reference.npz"):
            shutil.copy(trial.folder / name, other / name)

    def member(name: str, folder: Path) -> dict[str, Any]:
        return {
            "model": {"name": name, "format": "npz", "path": str(folder / "model.npz")}, "inputs": str(folder / "inputs.npz"),
            "reference": str(folder / "reference.npz"), "input_order": ["x"], "output_order": ["y"], "batchable": True,
            "fixed_batch": 1,
        }

    cell = {"min_duration_s": 0.1, "max_cell_s": 2, "max_iterations": 50_000, **changes}
    return {
        "cells": [trial.cell(scenario="ensemble", options={"layout": layout}, **cell)], "threads": 1,
        "members": [member("one", trial.folder), member("two", other)],
    }


@BOTH
def test_members_are_measured_alone_and_then_together(
    trial: Any, layout: str, samples_of: Callable[[Any], np.ndarray]
) -> None:
    result = trial.run(**job(trial, layout, batch=4))
    read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["one"])
    (found,) = result["cells"]
    assert found["status"] == "ok", found["reason"]
    details, samples = found["details"], samples_of(found["samples"])
    rates = [member["alone_ips"] for member in details["member"].values()]
    assert set(details["member"]) == {"one", "two"}
    assert details["expected_ips"] == pytest.approx(1 / sum(1 / rate for rate in rates))
    assert details["gain"] == pytest.approx(found["throughput_ips"] / details["expected_ips"])
    assert found["throughput_ips"] == pytest.approx(len(samples) * 4 / (samples.sum() / 1e9))
    assert found["headline_ms"] == pytest.approx(1e3 / found["throughput_ips"])
    assert set(found["fidelity"]["members"]) == {"one", "two"}
    assert found["fidelity"]["rel_l2"] < 1e-6
    assert found["memory"]["process_peak_mb"] > 5
    assert result["phases"]["load_ms"] > 0
    assert result["evidence"]["executed_on"] == ["numpy"]
    missing = [name for name, value in found.items() if value is None and name not in ("reason", "phase")]
    missing += [f"memory.{name}" for name, value in found["memory"].items() if value is None]
    assert set(missing) <= set(found["null_reasons"])
    notes = [event["note"] for event in trial.events() if event["note"].endswith("alone")]
    assert notes[:1] + notes[-1:] == ["one alone", "two alone"]


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [("raises", "failed", "kernel launch failed"), ("memory", "oom", "MemoryError"),
     ("unsupported", "unsupported", "is not supported"), ("raises_later", "failed", "later")],
)
def test_what_one_member_cannot_do_is_the_cells_status_and_is_named(
    trial: Any, layout: str, fault: str, status: str, word: str
) -> None:
    # 203 inferences alone, so that what happens at the 251st happens together
    steps = {"batch": 8, "warmup_s": 0, "min_duration_s": 0, "min_iterations": 200, "max_iterations": 200}
    (found,) = trial.run(fault=f"{fault}:other", **job(trial, layout, **steps))["cells"]
    assert found["status"] == status, found["reason"]
    assert word in found["reason"]
    assert found["reason"].startswith("together" if (fault, layout) == ("raises_later", "one_process") else "two: ")


@BOTH
@pytest.mark.parametrize(
    ("fault", "kind"), [("load_unsupported", "unsupported"), ("load_raises", "error"), ("fallback", "fallback")]
)
def test_a_member_that_cannot_be_loaded_fails_the_trial_by_name(trial: Any, layout: str, fault: str, kind: str) -> None:
    result = trial.run(fault=f"{fault}:other", **job(trial, layout))
    assert result["failure"]["kind"] == kind
    assert result["failure"]["message"].startswith("two: ")


@BOTH
def test_the_worst_member_counts(trial: Any, layout: str) -> None:
    (found,) = trial.run(fault="wrong:other", **job(trial, layout))["cells"]
    assert found["fidelity"]["rel_l2"] > 0.04
    assert found["fidelity"]["members"]["one"]["rel_l2"] < 1e-6


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [("crash", "failed", "SIGKILL"), ("load_crash", "failed", "SIGSEGV"), ("hangs", "skipped", "does not answer")],
)
def test_a_members_process_that_dies_or_hangs_is_named(trial: Any, fault: str, status: str, word: str) -> None:
    (found,) = trial.run(fault=f"{fault}:other", **job(trial, "processes", batch=8, max_cell_s=0.3))["cells"]
    assert found["status"] == status, found["reason"]
    assert found["reason"].startswith("two: ")
    assert word in found["reason"]
