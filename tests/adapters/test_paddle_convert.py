"""What is written differently before x2paddle sees it: the answers stay those that ONNX means."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

converter: Any = import_module("adapters.paddle_convert")

SHAPE = [2, 3, 4]


def network(kind: str, *, opset: int) -> onnx.ModelProto:
    """One node without attributes."""
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": np.random.default_rng(4).normal(0, 2, SHAPE).astype(np.float32)})[0]
    return found


def opset_of(model: onnx.ModelProto) -> int:
    return int(max(entry.version for entry in model.opset_import if not entry.domain))


@pytest.mark.parametrize("opset", [9, 12])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_an_old_softmax_over_several_axes_is_written_for_one(kind: str, opset: int) -> None:
    model = network(kind, opset=opset)
    expected = answer(model)
    raised = converter.at_opset(model)
    assert opset_of(raised) == converter.ALONG_ONE_AXIS
    np.testing.assert_allclose(answer(raised), expected, rtol=1e-5)


@pytest.mark.parametrize(("kind", "opset", "expected"), [("Relu", 9, 9), ("Softmax", 15, 15), ("Relu", 19, 17)])
def test_a_model_is_moved_only_where_it_must_be(kind: str, opset: int, expected: int) -> None:
    assert opset_of(converter.at_opset(network(kind, opset=opset))) == expected


@pytest.mark.parametrize(("kind", "name", "value"), [
    ("Softmax", "axis", -1), ("ReduceMax", "keepdims", 1), ("ReduceSum", "keepdims", 1)])
def test_defaults_that_x2paddle_reads_otherwise_are_written_down(kind: str, name: str, value: int) -> None:
    model = network(kind, opset=13)
    expected = answer(model)
    converter.spell_out(model)
    assert {one.name: one.i for one in model.graph.node[0].attribute}[name] == value
    np.testing.assert_allclose(answer(model), expected, rtol=1e-6)


def test_what_a_file_says_itself_is_left_alone() -> None:
    model = network("Softmax", opset=13)
    model.graph.node[0].attribute.append(helper.make_attribute("axis", 1))
    converter.spell_out(model)
    assert [(one.name, one.i) for one in model.graph.node[0].attribute] == [("axis", 1)]
