"""After promotion nothing is computed in less than float64."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from orchestrator.models.engines import load_evaluator
from orchestrator.models.promote import promote
from tests.models.onnxbuild import SaveModel

F = TensorProto.FLOAT
TINY = 1e-12  # lost beside 1 in float32, kept in float64


def evaluate(path: Path, feeds: dict[str, Any]) -> list[Any]:
    model = onnx.load(str(path))
    promote(model)
    outputs: list[Any] = ReferenceEvaluator(model).run(None, feeds)
    return outputs


@pytest.mark.parametrize("nodes", [
    [helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([1], np.float32)))],
    [helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([1], np.float16)))],
    [helper.make_node("Constant", [], ["one"], value_float=1.0)],
    [helper.make_node("Constant", [], ["one"], value_floats=[1.0])],
    [helper.make_node("ConstantOfShape", ["shape"], ["one"], value=numpy_helper.from_array(np.array([1], np.float32)))],
    [helper.make_node("ConstantOfShape", ["shape"], ["zero"]), helper.make_node("Exp", ["zero"], ["one"])],
    [helper.make_node("Cast", ["shape"], ["one"], to=F)],
    [helper.make_node("Cast", ["shape"], ["one"], to=TensorProto.FLOAT16)],
    [helper.make_node("Identity", ["weight"], ["one"])],
])
def test_every_source_of_floats_becomes_double(save_model: SaveModel, nodes: list[Any]) -> None:
    path = save_model([*nodes, helper.make_node("Add", ["x", "one"], ["y"]), helper.make_node("Sub", ["y", "one"], ["z"])],
                      [("x", F, [1])], [("z", F, [1]), ("one", F, [1])],
                      {"shape": np.array([1]), "weight": np.array([1], np.float32)})
    z, one = evaluate(path, {"x": np.array([TINY])})
    assert one.dtype == z.dtype == np.float64
    assert z[0] == pytest.approx(TINY, rel=1e-3)


def test_subgraphs_and_functions_too(save_model: SaveModel) -> None:
    constant = helper.make_node("Constant", [], ["c"], value_float=1.0)
    branch = helper.make_graph([constant, helper.make_node("Add", ["x", "c"], ["b"])], "b", [],
                               [helper.make_tensor_value_info("b", F, [1])])
    function = helper.make_function("own", "Minus", ["v"], ["r"], [constant, helper.make_node("Sub", ["v", "c"], ["r"])],
                                    [helper.make_opsetid("", 17)])
    path = save_model([helper.make_node("If", ["flag"], ["t"], then_branch=branch, else_branch=branch),
                       helper.make_node("Minus", ["t"], ["y"], domain="own")],
                      [("flag", TensorProto.BOOL, []), ("x", F, [1])], [("y", F, [1])], functions=[function],
                      domains={"own": 1})
    assert evaluate(path, {"flag": np.ones((), bool), "x": np.array([TINY])})[0][0] == pytest.approx(TINY, rel=1e-3)


def test_erf_is_computed_in_double(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Erf", ["x"], ["y"])], [("x", F, [1])], [("y", F, [1])])
    value = load_evaluator(path)({"x": np.array([0.3], np.float32)})[0]
    assert value[0] == pytest.approx(math.erf(float(np.float32(0.3))), rel=1e-15)


def test_integers_are_left_alone(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Add", ["x", "w"], ["y"])], [("x", TensorProto.INT64, [1])],
                      [("y", TensorProto.INT64, [1])], {"w": np.array([2**53 + 1])})
    assert evaluate(path, {"x": np.array([0])})[0].tolist() == [2**53 + 1]
