"""JAX: what is written out before it is traced, threads counted in the process, a cache with a proven hit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.adapters import strange
from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.smallnets import convolutional

lowering: Any = import_module("adapters.jax_lower")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return convolutional(tmp_path_factory.mktemp("network"))


def trial(runner: Runner, model: Prepared, *, batches: tuple[int, ...] = (1, 3), **changes: Any) -> dict[str, Any]:
    return runner.trial("jax", model, model.folder / "model.onnx", batches=batches, **changes)


def one_node(node: onnx.NodeProto, opset: int, weights: dict[str, Any]) -> onnx.ModelProto:
    """x: 3 × 4 × 5 → all outputs of the node."""
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4, 5])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def kinds(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(("inputs", "axis", "outputs"), [
    (["x", "scale", "bias"], -1, ["y"]), (["x", "scale"], 2, ["y"]), (["x", "wide", "bias"], 1, ["y", "mean", "inverse"])])
def test_a_layer_normalization_written_out_computes_the_same(inputs: list[str], axis: int, outputs: list[str],
                                                             opset: int) -> None:
    rng = np.random.default_rng(5)
    node = helper.make_node("LayerNormalization", inputs, outputs, axis=axis, epsilon=1e-3)
    model = one_node(node, opset, {"scale": rng.normal(size=5), "bias": rng.normal(size=5), "wide": rng.normal(size=(4, 5))})
    feeds = {"x": rng.normal(size=(3, 4, 5)).astype(np.float32)}
    expected = ReferenceEvaluator(model).run(None, feeds)
    lowering.by_hand(model)
    assert "LayerNormalization" not in kinds(model)
    for found, wanted in zip(ReferenceEvaluator(model).run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inputs", "attributes", "opset", "written"), [
    (["x", "low", "high"], {}, 17, {"Max", "Min"}), (["x", "", "high"], {}, 17, {"Min"}), (["x", "low"], {}, 17, {"Max"}),
    (["x"], {}, 17, {"Identity"}), (["x"], {"min": -0.5, "max": 0.25}, 6, {"Max", "Min"})])
def test_a_clip_written_out_computes_the_same(inputs: list[str], attributes: dict[str, float], opset: int,
                                              written: set[str]) -> None:
    model = one_node(helper.make_node("Clip", inputs, ["y"], **attributes), opset, {"low": -0.5, "high": 0.25})
    feeds = {"x": np.random.default_rng(6).normal(size=(3, 4, 5)).astype(np.float32)}
    low = -0.5 if "low" in inputs or attributes else -np.inf
    high = 0.25 if "high" in inputs or attributes else np.inf
    lowering.by_hand(model)
    assert kinds(model) == written
    evaluated = np.asarray(ReferenceEvaluator(helper.make_model(
        model.graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)).run(None, feeds)[0])
    np.testing.assert_array_equal(evaluated, np.clip(feeds["x"], low, high))


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"jit": False}, {"matmul_precision": "default"}])
def test_answers_are_right_in_float32_and_settings_reach_jax(settings: dict[str, Any], network: Prepared,
                                                             runner: Runner) -> None:
    result = trial(runner, network, settings=settings)
    is_right(result, 1e-4)
    detail = result["evidence"]["detail"]
    assert detail["matmul_precision"] == settings.get("matmul_precision", "highest")
    assert detail["compiled_batches"] == [1, 3]
    if settings.get("jit", True):
        assert detail["result_types"]["f32"] > 0
        assert not {"f64", "f16", "bf16"} & set(detail["result_types"])
    else:
        assert detail["result_types"] == {}


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_that_exist(threads: int, network: Prepared, runner: Runner) -> None:
    evidence = trial(runner, network, batches=(1,), threads=threads)["evidence"]
    assert (evidence["detail"]["threads"], evidence["fallback"]) == (threads, None)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_warm_start_takes_what_the_first_compiled(network: Prepared, runner: Runner) -> None:
    cell = {"id": "c", "scenario": "cold_start", "batch": 1, "min_duration_s": 0.05, "min_iterations": 2, "max_iterations": 500,
            "warmup_s": 0.0, "max_cell_s": 60}
    kept = [trial(runner, network, batches=(), cells=[{**cell, "options": {"cache": cache}}])["evidence"]["cache"]
            for cache in ("cold", "warm")]
    assert [(use["kind"], use["hit"]) for use in kept] == [("XLA executables", False), ("XLA executables", True)]


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize("make", [strange.opset7, strange.embedding, strange.several, strange.double, strange.fixed])
def test_other_files_are_answered_right(make: Any, runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(make, "jax", runner, tmp_path, converts=False))


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize(("make", "operator"), [(strange.unknown, "made.up::Frobnicate"), (strange.loop, "Loop")])
def test_what_cannot_be_translated_is_unsupported_by_name(make: Any, operator: str, runner: Runner, tmp_path: Path) -> None:
    assert operator in refusal(outcome(make, "jax", runner, tmp_path, converts=False))
