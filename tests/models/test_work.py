"""Multiply-adds over an ONNX graph: every operator that counts against sums written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from orchestrator.models.onnxfile import inspect
from orchestrator.models.work import Work, count_work
from tests.models.onnxbuild import SaveModel

F = TensorProto.FLOAT
U = TensorProto.UINT8


def floats(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def one(save: SaveModel, operator: str, ins: dict[str, list[int]], weights: dict[str, Any], out: list[int | str],
        **attributes: Any) -> Work:
    node = helper.make_node(operator, [*ins, *weights], ["y"], **attributes)
    return count_work(inspect(save([node], [(name, F, dims) for name, dims in ins.items()], [("y", F, out)], weights)))


@pytest.mark.parametrize(("operator", "shape", "weights", "out", "attributes", "expected"), [
    ("Conv", [1, 4, 8, 8], {"w": floats(6, 4, 3, 3)}, [1, 6, 6, 6], {}, 6 * 6 * 6 * 4 * 9),
    ("Conv", [1, 4, 8, 8], {"w": floats(8, 2, 3, 3)}, [1, 8, 4, 4], {"group": 2, "pads": [1] * 4, "strides": [2, 2]},
     8 * 4 * 4 * 2 * 9),
    ("Conv", [1, 4, 9], {"w": floats(5, 4, 3)}, [1, 5, 7], {}, 5 * 7 * 4 * 3),
    ("ConvTranspose", [1, 4, 5, 5], {"w": floats(4, 3, 2, 2)}, [1, 3, 10, 10], {"strides": [2, 2]}, 4 * 25 * 3 * 4),
    ("MatMul", [1, 7, 5], {"w": floats(5, 3)}, [1, 7, 3], {}, 7 * 5 * 3),
    ("Gemm", [1, 5], {"w": floats(3, 5), "b": floats(3)}, [1, 3], {"transB": 1}, 15),
    ("Gemm", [5, 1], {"w": floats(5, 3)}, [1, 3], {"transA": 1}, 15),
    ("LSTM", [10, 1, 4], {"w": floats(1, 24, 4), "r": floats(1, 24, 6)}, [10, 1, 1, 6], {"hidden_size": 6}, 10 * 24 * 10),
    ("Relu", [1, 5], {}, [1, 5], {}, 0),
])
def test_what_an_operator_multiplies(save_model: SaveModel, operator: str, shape: list[int], weights: dict[str, Any],
                                     out: list[int | str], attributes: dict[str, Any], expected: int) -> None:
    assert one(save_model, operator, {"x": shape}, weights, out, **attributes).multiply_adds == expected


@given(batch=st.integers(1, 4), rows=st.integers(1, 9), inner=st.integers(1, 9), columns=st.integers(1, 9))
def test_a_product_of_two_inputs_counts_each_row_times_each_column(
        batch: int, rows: int, inner: int, columns: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    from onnx import helper as h

    graph = h.make_graph(
        [h.make_node("MatMul", ["a", "b"], ["y"])], "g",
        [h.make_tensor_value_info("a", F, [batch, rows, inner]), h.make_tensor_value_info("b", F, [batch, inner, columns])],
        [h.make_tensor_value_info("y", F, None)])
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    path.write_bytes(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)]).SerializeToString())
    assert count_work(inspect(path)).multiply_adds == batch * rows * inner * columns


def test_shapes_between_operators_are_inferred_and_a_free_batch_counts_once(save_model: SaveModel) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["t"], strides=[2, 2]), helper.make_node("Relu", ["t"], ["r"]),
             helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["f", "v"], ["y"])]
    path = save_model(nodes, [("x", F, ["batch", 3, 9, 9])], [("y", F, ["batch", 2])],
                      {"w": floats(4, 3, 3, 3), "v": floats(4, 2)})
    work = count_work(inspect(path))
    assert work == Work(multiply_adds=4 * 16 * 27 + 8, by_operator={"Conv": 4 * 16 * 27, "Gemm": 8})


def test_functions_of_the_model_are_looked_into(save_model: SaveModel) -> None:
    opsets = [helper.make_opsetid("", 17)]
    dense = helper.make_function("own", "Dense", ["a", "b"], ["c"], [helper.make_node("MatMul", ["a", "b"], ["c"])], opsets)
    path = save_model([helper.make_node("Dense", ["x", "w"], ["y"], domain="own")], [("x", F, [1, 4])], [("y", F, [1, 3])],
                      {"w": floats(4, 3)}, functions=[dense], domains={"own": 1})
    assert count_work(inspect(path)).multiply_adds == 12


def test_what_cannot_be_told_is_no_number(save_model: SaveModel) -> None:
    strange = save_model([helper.make_node("FusedConv", ["x"], ["y"], domain="com.example")], [("x", F, [1, 4])],
                         [("y", F, [1, 3])], domains={"com.example": 1})
    assert count_work(inspect(strange)) == Work(multiply_adds=None, reason="the work of the operator FusedConv is not known")
    nodes = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["c"], to=F),
             helper.make_node("MatMul", ["w", "c"], ["y"])]
    depends = save_model(nodes, [("x", F, [1, 4])], [("y", F, [3, "k"])], {"w": floats(3, 2)}, name="depends.onnx")
    found = count_work(inspect(depends))
    assert found.multiply_adds is None
    assert found.reason == "the shape of 'y', which a MatMul has, cannot be inferred"


def test_a_file_with_data_beside_it_is_counted_without_reading_that(external: Path) -> None:
    assert count_work(inspect(external)).multiply_adds == 12
