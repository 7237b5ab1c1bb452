"""Graphs written at opset 9: the same answers, settings as attributes, and what has no way there named."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

opset9: Any = import_module("adapters.opset9")
cntk: Any = import_module("adapters.cntk_lower")
mxnet: Any = import_module("adapters.mxnet_lower")
base: Any = import_module("adapters.base")
X = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)


def model(nodes: list[onnx.NodeProto], opset: int = 18, **constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def settings_as_inputs() -> onnx.ModelProto:
    """Clip, ReduceMean and Unsqueeze as newer opsets have them, a Constant, and a Softmax over the last axis."""
    nodes = [
        helper.make_node("Clip", ["x", "low"], ["a"]), helper.make_node("ReduceMean", ["a", "axes"], ["b"], keepdims=0),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array([1, 2, 3], np.float32))),
        helper.make_node("Add", ["b", "c"], ["d"]), helper.make_node("Unsqueeze", ["d", "last"], ["e"]),
        helper.make_node("Squeeze", ["e", "last"], ["f"]), helper.make_node("Softmax", ["f"], ["y"], axis=-1),
    ]
    return model(nodes, low=np.float32(0), axes=np.array([2, 3]), last=np.array([2]))


@pytest.mark.parametrize("lowering", [cntk, mxnet])
def test_the_graph_answers_as_before_with_its_settings_as_attributes(lowering: Any) -> None:
    before = settings_as_inputs()
    after = lowering.lower(before)
    assert (after.opset_import[0].version, after.ir_version) == (9, 3)
    assert {one.name for one in after.graph.initializer} == {"c"}
    assert {one.name for one in after.graph.input} == {"x", "c"}  # of that age: what has a value is an input as well
    (expected,), (found,) = (ReferenceEvaluator(one).run(None, {"x": X}) for one in (before, after))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)


@pytest.mark.parametrize(("lowering", "reader"), [(cntk, "CNTK's importer"), (mxnet, "MXNet's importer")])
def test_operators_without_a_way_are_named_all_at_once(lowering: Any, reader: str) -> None:
    nodes = [helper.make_node("Erf", ["x"], ["a"]), helper.make_node("Det", ["a"], ["y"])]
    with pytest.raises(base.Unsupported, match=f"{reader} has none of the operators Det, Erf"):
        lowering.lower(model(nodes))
    with pytest.raises(base.Unsupported, match=f"{reader} has no Erf"):
        lowering.lower(model([helper.make_node("Erf", ["x"], ["y"])]))


def test_a_setting_that_is_computed_cannot_become_an_attribute() -> None:
    nodes = [helper.make_node("ReduceMax", ["x", "axes"], ["m"]), helper.make_node("Clip", ["x", "", "m"], ["y"])]
    with pytest.raises(base.Unsupported, match="Clip takes a computed value for input 2"):
        cntk.lower(model(nodes, axes=np.array([0, 1, 2, 3])))


@pytest.mark.parametrize(("attributes", "reason"), [
    ({"auto_pad": "SAME_UPPER"}, "auto_pad"), ({"pads": [0, 0, 1, 1]}, "more on one side"), ({"ceil_mode": 1}, "ceil_mode"),
    ({"dilations": [2, 2]}, "dilations"),
])
def test_what_importers_of_that_age_pass_over_is_refused(attributes: dict[str, Any], reason: str) -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], **attributes)
    with pytest.raises(base.Unsupported, match=f"operator MaxPool .*{reason}"):
        cntk.lower(model([pool]))


@pytest.mark.parametrize("node", [
    helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0), helper.make_node("Transpose", ["x"], ["y"]),
    helper.make_node("Concat", ["x", "x"], ["y"], axis=-3), helper.make_node("ReduceSum", ["x"], ["y"], noop_with_empty_axes=1),
    helper.make_node("ReduceMean", ["x", "axes"], ["y"]), helper.make_node("Unsqueeze", ["x", "axes"], ["y"]),
], ids=lambda node: f"{node.op_type}-{len(node.attribute)}")
def test_axes_count_from_the_front_and_are_all_named_for_cntk(node: onnx.NodeProto) -> None:
    before = model([node], axes=np.array([-1, 1]))
    after = cntk.lower(before)
    named = {one.name: list(one.ints) or [one.i] for one in after.graph.node[0].attribute}
    assert all(axis >= 0 for axis in [*named.get("axes", []), *named.get("axis", [])])
    assert after.graph.node[0].op_type == ("Identity" if "noop_with_empty_axes" in str(node) else node.op_type)
    assert node.op_type != "Transpose" or named["perm"] == [3, 2, 1, 0]
    (expected,), (found,) = (ReferenceEvaluator(one).run(None, {"x": X}) for one in (before, after))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)


@pytest.mark.parametrize(("node", "weight", "reason"), [
    (helper.make_node("Conv", ["x", "w"], ["y"], dilations=[2, 2]), (2, 3, 2, 2), "dilations"),
    (helper.make_node("Conv", ["s", "w"], ["y"]), (2, 3, 2), "two dimensions"),
    (helper.make_node("MatMul", ["w", "w"], ["y"]), (3,), "outer product"),
])
def test_what_cntk_would_compute_wrongly_is_refused(node: onnx.NodeProto, weight: tuple[int, ...], reason: str) -> None:
    with pytest.raises(base.Unsupported, match=reason):
        cntk.lower(model([node], w=np.ones(weight, np.float32), s=np.ones((1, 3, 8), np.float32)))


@pytest.mark.parametrize(("opset", "axis", "taken"), [
    (18, -1, True), (18, 3, True), (18, 1, False), (11, None, False), (11, 3, True)])
def test_a_softmax_is_taken_over_the_last_axis_only(opset: int, axis: int | None, taken: bool) -> None:
    given = {} if axis is None else {"axis": axis}
    made = model([helper.make_node("Softmax", ["x"], ["y"], **given)], opset)
    if taken:
        (expected,), (found,) = (ReferenceEvaluator(one).run(None, {"x": X}) for one in (made, cntk.lower(made)))
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)
    else:
        with pytest.raises(base.Unsupported, match="not over the last axis"):
            cntk.lower(made)
