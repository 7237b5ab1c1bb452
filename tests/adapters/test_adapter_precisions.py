"""Fewer bits, made by the real converters and proven by what the backend says it computed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.fidelity import tolerance_for, wrong_answer_reason
from tests.adapters.jobs import Prepared, Runner

pytestmark = pytest.mark.slow
CONVERTED = [("onnxruntime", "int8"), ("openvino", "int8")]
AS_IT_IS = [("openvino", "bf16"), ("torch", "bf16"), ("torch", "fp16"), ("torch", "int8")]


@pytest.fixture(scope="module")
def digits(runner: Runner) -> Prepared:
    """The trained network: what fewer bits cost shows in its answers."""
    return runner.export("digits")


def labelled(model: Prepared) -> dict[str, Any]:
    """The job's part that asks for accuracy."""
    return {"accuracy": {"inputs": str(model.folder / "labelled.npz"), "labels": str(model.folder / "labels.npz"),
                         "metric": "top1", "output": model.output_order[0]}}


def judged(result: dict[str, Any], precision: str) -> dict[str, Any]:
    """The result's cell, held to the precision's own tolerance; a processor without the width may refuse, in a sentence."""
    failure = result["failure"]
    if failure is not None and failure["kind"] == "unsupported":
        pytest.skip(f"this processor: {failure['message']}")
    assert failure is None
    assert result["evidence"]["fallback"] is None, result["evidence"]
    (cell,) = result["cells"]
    assert cell["status"] == "ok", cell["reason"]
    assert wrong_answer_reason(cell["fidelity"], tolerance_for(precision, {}, {})) is None, cell["fidelity"]
    return dict(cell)


@pytest.mark.parametrize(("backend", "precision"), CONVERTED)
def test_a_converted_precision_answers_within_its_tolerance_and_still_knows_its_digits(
    backend: str, precision: str, digits: Prepared, runner: Runner
) -> None:
    path, result = runner.convert(backend, digits, precision=precision)
    assert path is not None, result["failure"]
    found = runner.trial(backend, digits, path, batches=(8,), precision=precision, **labelled(digits))
    cell = judged(found, precision)
    assert cell["fidelity"]["rel_l2"] > 1e-6  # fewer bits cannot be free: a copy of the fp32 file would be
    assert cell["accuracy"]["n"] == 540
    assert cell["accuracy"]["correct"] > 0.9 * 540


@pytest.mark.parametrize(("backend", "precision"), AS_IT_IS)
def test_a_width_that_the_backend_makes_itself_is_proven(
    backend: str, precision: str, digits: Prepared, runner: Runner
) -> None:
    path = digits.folder / ("model.pt2" if backend == "torch" else "model.onnx")
    cell = judged(runner.trial(backend, digits, path, batches=(8,), precision=precision), precision)
    assert cell["fidelity"]["rel_l2"] > 1e-6


def test_a_user_s_file_is_converted_whole_and_narrowed_while_it_is_loaded(digits: Prepared, runner: Runner) -> None:
    path, result = runner.convert("torch", digits)
    assert path is not None, result["failure"]
    judged(runner.trial("torch", digits, path, batches=(8,), precision="bf16"), "bf16")


def test_half_precision_without_kernels_for_it_is_a_fallback(digits: Prepared, runner: Runner) -> None:
    """ONNX Runtime's CPU provider casts to fp32 and back around most operators, and does not say so by itself."""
    path, result = runner.convert("onnxruntime", digits, precision="fp16")
    assert path is not None, result["failure"]
    fallback = runner.trial("onnxruntime", digits, path, batches=(1,), precision="fp16")["evidence"]["fallback"]
    assert fallback is None or "every operator computed in fp32" in fallback


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_precision_in_which_nothing_computed_is_a_fallback(backend: str, digits: Prepared, runner: Runner) -> None:
    result = runner.trial(backend, digits, digits.folder / "model.onnx", batches=(1,), precision="int8")
    said = (result["failure"] or {}).get("message") or result["evidence"]["fallback"]
    assert "asked for int8" in said


def test_a_precision_that_a_backend_has_not_is_refused(digits: Prepared, runner: Runner) -> None:
    result = runner.trial("onnxruntime", digits, Path(digits.folder / "model.onnx"), batches=(1,), precision="bf16")
    assert result["failure"]["kind"] == "unsupported"
    assert "bf16" in result["failure"]["message"]
