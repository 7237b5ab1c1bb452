"""Index ranges found by following inputs through the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from orchestrator.models.inputs import generate, input_rules
from orchestrator.models.onnxfile import inspect
from orchestrator.models.rules import Rule, RuleKind
from tests.models.onnxbuild import SaveModel

F, I64 = TensorProto.FLOAT, TensorProto.INT64
TABLE = {"table": np.zeros((50, 4), np.float32)}
GATHER = helper.make_node("Gather", ["table", "i"], ["y"])


def rule(save_model: SaveModel, *before: Any, dtype: int = I64, weights: dict[str, Any] | None = None,
         last: Any = GATHER) -> Rule:
    path = save_model([*before, last], [("x", dtype, ["N", 3])], [("y", F, None)], {**TABLE, **(weights or {})})
    return input_rules(inspect(path))["x"]


@pytest.mark.parametrize("path", [
    [("Cast", {"to": I64})], [("Cast", {"to": F}), ("Cast", {"to": I64})], [("Identity", {})], [("Flatten", {})],
    [("Transpose", {"perm": [1, 0]}), ("Identity", {})],
])
def test_through_operators_that_keep_values(save_model: SaveModel, path: list[tuple[str, dict[str, Any]]]) -> None:
    names = ["x", *[f"t{n}" for n in range(len(path) - 1)], "i"]
    nodes = [helper.make_node(op, [names[n]], [names[n + 1]], **attributes) for n, (op, attributes) in enumerate(path)]
    found = rule(save_model, *nodes)
    assert (found.kind, found.low, found.high) == (RuleKind.RANGE, 0, 50)


@pytest.mark.parametrize(("op", "inputs", "constant", "low", "high"), [
    ("Add", ["x", "c"], 10, 0, 40), ("Add", ["c", "x"], 10, 0, 40), ("Sub", ["x", "c"], 5, 5, 55),
    ("Mul", ["x", "c"], 3, 0, 17), ("Add", ["x", "c"], [0, 10, 30], 0, 20),
])
def test_constants_shift_the_range(save_model: SaveModel, op: str, inputs: list[str], constant: Any, low: int,
                                   high: int) -> None:
    found = rule(save_model, helper.make_node(op, inputs, ["i"]), weights={"c": np.asarray(constant, np.int64)})
    assert (found.low, found.high) == (low, high)


def test_several_tables_give_the_smallest_range(save_model: SaveModel) -> None:
    found = rule(save_model, helper.make_node("Gather", ["small", "x"], ["z"]), helper.make_node("Identity", ["x"], ["i"]),
                 weights={"small": np.zeros((7, 2), np.float32)})
    assert found.high == 7
    assert "small" in found.why


def test_a_table_that_is_computed_is_measured_by_shape_inference(save_model: SaveModel) -> None:
    found = rule(save_model, helper.make_node("Concat", ["table", "table"], ["both"], axis=0),
                 last=helper.make_node("Gather", ["both", "x"], ["y"]))
    assert found.high == 100


def test_a_table_too_large_to_keep_still_has_its_size(save_model: SaveModel) -> None:
    found = rule(save_model, last=helper.make_node("Gather", ["big", "x"], ["y"]),
                 weights={"big": np.zeros((30522, 8), np.float32)})
    assert found.high == 30522


def test_gather_on_another_axis(save_model: SaveModel) -> None:
    assert rule(save_model, last=helper.make_node("Gather", ["table", "x"], ["y"], axis=-1)).high == 4


def test_one_hot_depth(save_model: SaveModel) -> None:
    found = rule(save_model, last=helper.make_node("OneHot", ["x", "depth", "values"], ["y"]),
                 weights={"depth": np.int64(6), "values": np.array([0, 1], np.float32)})
    assert (found.low, found.high) == (0, 6)


def test_values_that_the_graph_bounds_itself_are_free(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Mod", ["x", "c"], ["i"]), GATHER], [("x", I64, ["N", 3])], [("y", F, None)],
                      {**TABLE, "c": np.int64(50)})
    assert input_rules(inspect(path)) == {}


def test_bytes_that_index_a_larger_table_stay_bytes(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Cast", ["x"], ["i"], to=I64), helper.make_node("Gather", ["big", "i"], ["y"])],
                      [("x", TensorProto.UINT8, ["N", 900])], [("y", F, None)], {"big": np.zeros((1000, 1), np.float32)})
    assert generate(inspect(path), 2, 0)["x"].max() == 255


def test_a_cycle_or_a_broken_graph_ends(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Identity", ["x"], ["a"]), helper.make_node("Identity", ["b"], ["a"]),
                       helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Gather", ["none", "b"], ["y"])],
                      [("x", I64, ["N"])], [("y", F, None)])
    assert input_rules(inspect(path))["x"].high == 1


def test_data_of_unknown_size_is_read_at_its_first_index_unless_another_range_is_known(save_model: SaveModel) -> None:
    unknown = [helper.make_node("NonZero", ["table"], ["found"]), helper.make_node("Gather", ["found", "x"], ["z"], axis=1)]
    path = save_model([*unknown], [("x", I64, ["N", 3])], [("z", I64, None)], TABLE)
    assert generate(inspect(path), 4, 0)["x"].max() == 0
    assert rule(save_model, *unknown, last=helper.make_node("Gather", ["table", "x"], ["y"])).high == 50


def test_several_axes_differ(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("ReduceSum", ["table", "axes"], ["y"])], [("axes", I64, [2])], [("y", F, None)],
                      TABLE)
    assert generate(inspect(path), 1, 0)["axes"].tolist() == [[0, 1]]
