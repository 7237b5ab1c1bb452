"""LiteRT on a small network that was converted once (tests/fixtures/litert/make.py): axes, batches, threads and delegates."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.jobs import Prepared, Runner

FIXTURE = Path(__file__).parents[1] / "fixtures" / "litert"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small() -> Prepared:
    return Prepared(folder=FIXTURE, input_order=["x"], output_order=["y", "map"], batchable=True)


def measured(runner: Runner, small: Prepared, **changes: Any) -> dict[str, Any]:
    precision = changes.setdefault("precision", "fp32")
    result = runner.trial("litert", small, FIXTURE / precision / "model.tflite", batches=(1, 3), **changes)
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"]
    limit = 1e-5 if precision == "fp32" else 0.1
    assert all(cell["fidelity"]["rel_l2"] < limit for cell in result["cells"])
    evidence = dict(result["evidence"])
    assert evidence["fallback"] is None
    assert evidence["batching"] == "native"
    assert result["versions"]["ai-edge-litert"]
    return evidence


@pytest.mark.parametrize("order", [["y", "map"], ["map", "y"]])
def test_xnnpack_takes_the_network_and_every_axis_is_where_onnx_has_it(
    order: list[str], runner: Runner, small: Prepared
) -> None:
    evidence = measured(runner, small, output_order=order)
    assert evidence["executed_on"] == ["XNNPACK"]
    assert evidence["detail"]["xnnpack_partitions"] == 1
    assert evidence["detail"]["operators_outside_xnnpack"] == {}
    assert evidence["detail"]["operator_types"]["CONV_2D"] == 2
    assert evidence["detail"]["interpreters"] == 2  # one per batch size


def test_without_xnnpack_litert_s_own_kernels_run_all(runner: Runner, small: Prepared) -> None:
    evidence = measured(runner, small, settings={"xnnpack": False})
    assert evidence["executed_on"] == ["LiteRT CPU"]
    assert evidence["detail"]["operators_outside_xnnpack"] == evidence["detail"]["operator_types"]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="threads need CPUs")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_pool_is_as_large_as_was_asked_for(threads: int, runner: Runner, small: Prepared) -> None:
    detail = measured(runner, small, threads=threads)["detail"]
    assert detail["threads"] == detail["threads_asked"] == threads


def test_int8_is_int8(runner: Runner, small: Prepared) -> None:
    detail = measured(runner, small, precision="int8")["detail"]
    assert detail["tensor_types"]["int8"] > detail["tensor_types"].get("float32", 0)


@pytest.mark.parametrize(("precision", "file", "word"), [
    ("int8", "fp32", "no tensor of the converted model is narrower"), ("fp32", "int8", "holds narrower tensors")])
def test_another_precision_than_was_asked_for_is_a_fallback(
    precision: str, file: str, word: str, runner: Runner, small: Prepared
) -> None:
    result = runner.trial("litert", small, FIXTURE / file / "model.tflite", batches=(1,), precision=precision)
    assert word in str(result["failure"] or result["cells"][0])
    assert word in result["evidence"]["fallback"]


def test_it_says_that_it_keeps_no_cache(runner: Runner, small: Prepared, tmp_path: Path) -> None:
    evidence = measured(runner, small, keep_cache=True, cache_dir=str(tmp_path))
    assert evidence["cache"]["kind"] == "none"


@pytest.mark.parametrize("changes", [{"precision": "fp16"}, {"device": "cuda"}])
def test_what_it_cannot_do_is_unsupported(changes: dict[str, str], runner: Runner, small: Prepared) -> None:
    result = runner.trial("litert", small, FIXTURE / "fp32" / "model.tflite", batches=(1,), **changes)
    assert result["failure"]["kind"] == "unsupported"


def test_only_operators_that_run_are_counted() -> None:
    walk: Any = import_module("adapters.litert").executed
    ops = [
        {"index": 0, "op_name": "CONV_2D", "inputs": [0], "outputs": [1]},
        {"index": 1, "op_name": "ADD", "inputs": [1], "outputs": [2]},
        {"index": 2, "op_name": "CUSTOM", "inputs": [2], "outputs": [3]},
        {"index": 3, "op_name": "UNUSED", "inputs": [2], "outputs": [4]},
        {"index": 4, "op_name": "DELEGATE", "inputs": [0], "outputs": [2]},
    ]
    assert [op["op_name"] for op in walk(ops, [3])] == ["CUSTOM", "DELEGATE"]
