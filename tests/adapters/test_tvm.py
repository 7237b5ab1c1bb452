"""TVM: not tuned and said so, a library per batch, threads as pool and kernel say, a cache that belongs to one processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.breadth import outcome
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.smallnets import convolutional
from tests.adapters.strange import shaped

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return convolutional(tmp_path_factory.mktemp("network"))


def trial(runner: Runner, model: Prepared, *, batches: tuple[int, ...] = (1, 3), **changes: Any) -> dict[str, Any]:
    return runner.trial("tvm", model, model.folder / "model.onnx", batches=batches, **changes)


@pytest.mark.parametrize("schedules", ["none", "rules"])
def test_answers_are_right_and_nothing_is_called_tuned(schedules: str, network: Prepared, runner: Runner) -> None:
    result = trial(runner, network, settings={"schedules": schedules})
    assert result["failure"] is None
    assert all(cell["status"] == "ok" and cell["fidelity"]["rel_l2"] < 1e-4 for cell in result["cells"])
    detail = result["evidence"]["detail"]
    assert (detail["tuned"], detail["compiled_batches"]) == (False, [1, 3])
    assert (detail["scheduled"] > 0) == (schedules == "rules")


@pytest.mark.parametrize("threads", [1, 2])
def test_its_pool_is_as_large_as_was_asked_for_and_no_more_compute(threads: int, network: Prepared, runner: Runner) -> None:
    detail = trial(runner, network, batches=(3,), threads=threads)["evidence"]["detail"]
    assert detail["pool"] == threads
    assert 1 <= detail["threads"] <= threads


def test_a_foreign_operator_is_unsupported_by_name(tmp_path: Path, runner: Runner) -> None:
    failure = trial(runner, convolutional(tmp_path / "m", foreign=True))["failure"]
    assert (failure["phase"], failure["kind"]) == ("compile", "unsupported")
    assert failure["message"] == "operator org.example::Mystery is none of ONNX's own"


def test_a_warm_start_takes_the_library_of_the_first(network: Prepared, runner: Runner) -> None:
    cell = {"id": "c", "scenario": "cold_start", "batch": 1, "min_duration_s": 0.05, "min_iterations": 2, "max_iterations": 500,
            "warmup_s": 0.0, "max_cell_s": 60}
    kept = [trial(runner, network, batches=(), cells=[{**cell, "options": {"cache": cache}}])["evidence"]["cache"]
            for cache in ("cold", "warm")]
    assert [(use["kind"], use["hit"]) for use in kept] == [("compiled module", False), ("compiled module", True)]


def test_a_shape_is_an_answer_too(runner: Runner, tmp_path: Path) -> None:
    result = outcome(shaped, "tvm", runner, tmp_path, converts=False)
    assert result["failure"] is None
    assert [(cell["status"], cell["fidelity"]["mismatch_fraction"]) for cell in result["cells"]] == [("ok", 0.0)]
