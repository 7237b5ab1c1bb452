"""Reshape targets that a graph computes from shapes become constants, and only where nothing is lost."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

shapes: Any = import_module("adapters.torch_shapes")


def model(nodes: list[onnx.NodeProto], **weights: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def target(found: onnx.ModelProto) -> list[int] | None:
    """Of the last Reshape, if it is a constant."""
    node = [node for node in found.graph.node if node.op_type == "Reshape"][-1]
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in found.graph.initializer}
    return constants.get(node.input[1])


def heads(source: str, result: str, part: str) -> list[onnx.NodeProto]:
    """What an exporter writes for x.view(x.shape[0], 6, -1, 2)."""
    return [
        helper.make_node("Shape", [source], [part + "s"]), helper.make_node("Gather", [part + "s", "zero"], [part + "b"]),
        helper.make_node("Concat", [part + "b", "tail"], [part + "t"], axis=0),
        helper.make_node("Reshape", [source, part + "t"], [result]),
    ]


def test_the_batch_is_copied_and_the_rest_inferred() -> None:
    found = shapes.constant_reshapes(model(heads("x", "y", "p"), zero=np.array([0]), tail=np.array([6, -1, 2])))
    assert target(found) == [0, 6, -1, 2]


def test_a_reshape_that_depends_on_another_is_found_too() -> None:
    nodes = [*heads("x", "h", "p"), helper.make_node("Relu", ["h"], ["r"]), *heads("r", "y", "q")]
    found = shapes.constant_reshapes(model(nodes, zero=np.array([0]), tail=np.array([6, -1, 2])))
    assert target(found) == [0, 6, -1, 2]


def test_the_result_gives_the_same_answers() -> None:
    made = model(heads("x", "y", "p"), zero=np.array([0]), tail=np.array([6, -1, 2]))
    feeds = {"x": np.random.default_rng(0).standard_normal((5, 6, 8)).astype(np.float32)}
    before = ReferenceEvaluator(made).run(None, feeds)[0]
    after = ReferenceEvaluator(shapes.constant_reshapes(made)).run(None, feeds)[0]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("tail", [[-1, 4], [3, -1]])
def test_two_unknown_dimensions_are_left_alone(tail: list[int]) -> None:
    nodes = [  # the batch in a place where it cannot be copied from
        helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["b"]),
        helper.make_node("Concat", ["tail", "b"], ["t"], axis=0), helper.make_node("Reshape", ["x", "t"], ["y"])]
    assert target(shapes.constant_reshapes(model(nodes, zero=np.array([0]), tail=np.array(tail)))) is None


def test_a_target_that_comes_from_data_is_left_alone() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["t"], to=TensorProto.INT64), helper.make_node("Reshape", ["x", "t"], ["y"])]
    assert target(shapes.constant_reshapes(model(nodes))) is None
