"""What is done to an ONNX graph before onnx2tf sees it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

graph: Any = import_module("adapters.tensorflow_graph")
BATCH = 7


def model(nodes: list[onnx.NodeProto], shape: list[Any], out: list[Any], **constants: Any) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def reshaped(target: list[int]) -> onnx.ModelProto:
    nodes = [helper.make_node("Reshape", ["x", "t"], ["r"]), helper.make_node("Relu", ["r"], ["y"])]
    return model(nodes, [BATCH, 6, 4], [BATCH, 3, 8], t=np.array(target, np.int64))


@pytest.mark.parametrize("target", [[BATCH, 3, 8], [BATCH, -1, 8]])
def test_a_reshape_that_was_folded_for_one_batch_takes_any(target: list[int]) -> None:
    made = reshaped(target)
    assert graph.free_batch(made, BATCH)
    onnx.checker.check_model(made)
    for rows in (1, 5):
        (found,) = ReferenceEvaluator(made).run(None, {"x": np.ones((rows, 6, 4), np.float32)})
        assert np.asarray(found).shape == (rows, 3, 8)


def test_the_batch_in_another_constant_keeps_the_graph_as_it_is() -> None:
    nodes = [helper.make_node("Expand", ["x", "t"], ["y"])]
    assert not graph.free_batch(model(nodes, [BATCH, 1, 4], [BATCH, 6, 4], t=np.array([BATCH, 6, 4], np.int64)), BATCH)


def test_an_output_without_the_batch_axis_keeps_the_graph_as_it_is() -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "a"], ["y"], keepdims=0)]
    assert not graph.free_batch(model(nodes, [BATCH, 4], [4], a=np.array([0], np.int64)), BATCH)


def test_a_stand_in_is_no_size_of_the_model_s_own() -> None:
    made = reshaped([BATCH, 3, 8])
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9
    assert graph._stand_in(made) == 11  # 7 and 9 are there


GELU = {
    "div": [("Div", ["x", "root"], "a"), ("Erf", ["a"], "b"), ("Add", ["b", "one"], "c"), ("Mul", ["x", "c"], "d"),
            ("Mul", ["d", "half"], "y")],
    "mul": [("Mul", ["inverse", "x"], "a"), ("Erf", ["a"], "b"), ("Add", ["one", "b"], "c"), ("Mul", ["c", "x"], "d"),
            ("Mul", ["half", "d"], "y")],
}


def gelu(form: str, **changes: float) -> onnx.ModelProto:
    constants = {"root": 2 ** 0.5, "inverse": 2 ** -0.5, "one": 1.0, "half": 0.5, **changes}
    nodes = [helper.make_node(kind, inputs, [output]) for kind, inputs, output in GELU[form]]
    return model(nodes, ["N", 5], ["N", 5], **{name: np.float32(value) for name, value in constants.items()})


@pytest.mark.parametrize("form", GELU)
def test_gelu_is_put_into_the_order_that_litert_knows_and_computes_the_same(form: str) -> None:
    made = gelu(form)
    rows = np.linspace(-4, 4, 15, dtype=np.float32).reshape(3, 5)
    (before,) = ReferenceEvaluator(made).run(None, {"x": rows})
    assert graph.reorder_gelu(made) == 1
    onnx.checker.check_model(made, full_check=True)
    (after,) = ReferenceEvaluator(made).run(None, {"x": rows})
    np.testing.assert_allclose(np.asarray(after), np.asarray(before), rtol=1e-6, atol=1e-7)
    makers = {node.output[0]: node for node in made.graph.node}
    assert sorted(makers["y"].input) == ["c", "d"]
    assert sorted(makers["d"].input) == ["half", "x"]


@pytest.mark.parametrize("changes", [{"half": 0.4}, {"one": 2.0}, {"root": 1.0}])
def test_what_only_looks_like_gelu_stays(changes: dict[str, float]) -> None:
    made = gelu("div", **changes)
    before = made.SerializeToString()
    assert graph.reorder_gelu(made) == 0
    assert made.SerializeToString() == before


def test_names_that_tensorflow_takes_for_no_scope_are_changed() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="/layer/Relu"), helper.make_node("Relu", ["r"], ["y"], name="last")]
    made = model(nodes, [1, 4], [1, 4])
    graph._rename(made)
    assert [node.name for node in made.graph.node] == ["node/layer/Relu", "last"]
