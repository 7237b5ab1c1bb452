"""ONNX Runtime with OpenVINO: what another provider computed is found, whether nobody or everybody says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import double, embedding, loop, opset7

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


def traced(runner: Runner, folder: Path, **changes: Any) -> dict[str, Any]:
    path = opset7().write(folder / "model")
    model = Prepared(folder=folder / "model", input_order=["x"], output_order=["y"], batchable=True)
    return runner.trial("onnxruntime_openvino", model, path, batches=(1, 3), **changes)


def test_every_operator_that_computes_is_proven_to_be_openvino_s(runner: Runner, tmp_path: Path) -> None:
    result = traced(runner, tmp_path)
    is_right(result, tolerance=1e-5)  # bf16, which its plugin takes by itself where there is some, would be far off
    detail = result["evidence"]["detail"]
    assert result["evidence"]["executed_on"] == ["OpenVINOExecutionProvider"]
    assert list(detail["operators"]) == ["OpenVINOExecutionProvider"]
    assert list(detail["nodes"]) == ["OpenVINOExecutionProvider"]
    assert "onnxruntime-openvino" in result["versions"]


@pytest.mark.parametrize("settings", [{"disable_dynamic_shapes": True}, {"num_streams": 2}, {"graph_optimization_level": "all"}])
def test_settings_do_not_change_who_computes(settings: dict[str, Any], runner: Runner, tmp_path: Path) -> None:
    is_right(traced(runner, tmp_path, settings=settings))


def test_integers_go_in_and_out(runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(embedding, "onnxruntime_openvino", runner, tmp_path, converts=False))


def test_a_graph_that_went_to_the_cpu_provider_is_a_fallback(runner: Runner, tmp_path: Path) -> None:
    # OpenVINO leaves float64 alone, and ONNX Runtime says nothing of it.
    failure = outcome(double, "onnxruntime_openvino", runner, tmp_path, converts=False)["failure"]
    assert failure["kind"] == "fallback"
    assert "none to OpenVINOExecutionProvider" in failure["message"]


def test_a_loop_of_which_openvino_gets_half_is_refused(runner: Runner, tmp_path: Path) -> None:
    assert "OpenVINO cannot read" in refusal(outcome(loop, "onnxruntime_openvino", runner, tmp_path, converts=False))
