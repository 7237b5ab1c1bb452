"""Paddle Inference's own traps: whose kernels ran, threads that are read back, what x2paddle lacks or would lose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import Strange

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def digits(runner: Runner) -> Prepared:
    return runner.export("digits")


@pytest.fixture(scope="module")
def converted(runner: Runner, digits: Prepared) -> Path:
    path, result = runner.convert("paddle", digits)
    assert path is not None, result["failure"]
    assert result["artifact"]["format"] == "paddle"
    return path


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernels_and_threads_asked_for_are_those_that_ran(
    runner: Runner, digits: Prepared, converted: Path, onednn: bool, threads: int,
) -> None:
    result = runner.trial("paddle", digits, converted, batches=(1, 8), threads=threads, settings={"onednn": onednn})
    is_right(result, 1e-4)
    detail = result["evidence"]["detail"]
    assert result["evidence"]["executed_on"] == (["oneDNN"] if onednn else ["Paddle CPU"])
    assert detail["operators"]
    assert (detail["onednn_operators"] > 0) == onednn
    assert detail["threads_asked"] == threads
    assert detail["onednn_openmp_threads"] == threads
    assert detail["threads"] == len(detail["busy_threads"]) >= 1


def _graph(kind: str, count: int = 1) -> Strange:
    """Names that are no Python, two of which x2paddle would make one, and outputs in an order of their own."""
    x = helper.make_tensor_value_info("a.b", TensorProto.FLOAT, ["N", 4])
    names = ["a_b", "it's[0]"][:count]
    nodes = [helper.make_node(one, ["a.b"], [name]) for one, name in zip((kind, "Abs"), names, strict=False)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in reversed(names)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], outputs),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32)
    return Strange(name="names", model=model, inputs={"a.b": samples})


def test_a_transformer_is_right_where_operators_do_not_write_over_what_they_read(runner: Runner) -> None:
    minilm = runner.export("minilm")
    path, result = runner.convert("paddle", minilm)
    assert path is not None, result["failure"]
    is_right(runner.trial("paddle", minilm, path, batches=(1,), settings={"inplace": False}))


def _sums() -> Strange:
    """ReduceSum with and without keepdims, and with the default, which x2paddle takes for none."""
    shapes: dict[str, list[int | str]] = {"x": ["N", 3, 4], "kept": ["N", 1, 4], "default": ["N", 1, 4], "y": ["N", 4]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["kept"], keepdims=1),
        helper.make_node("ReduceSum", ["x", "axes"], ["default"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "g", [values["x"]], [values[name] for name in ("y", "kept", "default")],
                              [numpy_helper.from_array(np.array([1]), "axes")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Strange(name="sums", model=model, inputs={"x": np.random.default_rng(6).normal(size=(8, 3, 4)).astype(np.float32)})


def test_names_that_are_no_python_and_outputs_in_another_order_come_through(runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(lambda: _graph("Exp", 2), "paddle", runner, tmp_path, converts=True))


def test_sums_keep_their_axes_or_not_as_onnx_says(runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(_sums, "paddle", runner, tmp_path, converts=True))


def test_an_operator_that_x2paddle_lacks_is_named(runner: Runner, tmp_path: Path) -> None:
    assert "Celu" in refusal(outcome(lambda: _graph("Celu"), "paddle", runner, tmp_path, converts=True))
