"""What a plan says of a model file without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.config.entries import ModelEntry
from orchestrator.errors import ModelError
from orchestrator.models.prepare import prepare_file
from orchestrator.plan.modelnotes import Inspected, inspect_models

F = TensorProto.FLOAT


def save(path: Path, nodes: list[Any], x: list[Any], y: list[Any], more: tuple[Any, ...] = (), **arrays: Any) -> Path:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", F, x), *more], [helper.make_tensor_value_info("y", F, y)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme.ops", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def inspected(path: Path) -> Inspected:
    (found,) = inspect_models([ModelEntry(name="m", path=path)])
    return found


def test_defaults_of_free_dimensions_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["batch", "seq"], ["batch", "seq"])
    found = inspected(path)
    assert found.fixed_batch is None
    assert any("seq (dimension 1) = 128 by default (--shape x=1x128 changes it)" in note for note in found.notes)


def test_a_scalar_input_is_the_reason_for_batch_1(tmp_path: Path) -> None:
    scalar = helper.make_tensor_value_info("s", F, [])
    path = save(tmp_path / "m.onnx", [helper.make_node("Mul", ["x", "s"], ["y"])], ["batch", 4], ["batch", 4], (scalar,))
    found = inspected(path)
    assert found.fixed_batch == 1
    assert any("input 's' is a scalar" in note for note in found.notes)


def test_a_fixed_first_dimension_is_the_reason_for_its_batch(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [2, 4], [2, 4])
    found = inspected(path)
    assert found.fixed_batch == 2
    assert any("fixes the first dimension of input 'x' at 2" in note for note in found.notes)


@pytest.mark.parametrize(("rows", "batch"), [(1, 1), (-1, None), (0, None)])
def test_a_reshape_to_one_row_is_no_batch(tmp_path: Path, rows: int, batch: int | None) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, ["batch", 4, 12], ["batch", 48], to=np.array([rows, 48]))
    assert inspected(path).fixed_batch == batch


def test_a_custom_operator_is_named_with_its_domain(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Fancy", ["x"], ["y"], domain="acme.ops")], ["batch", 4], ["batch", 4])
    assert any("acme.ops::Fancy" in note for note in inspected(path).notes)
    with pytest.raises(ModelError, match=r"custom operator acme\.ops::Fancy") as caught:
        prepare_file(path, cache_dir=tmp_path / "cache")
    assert "standard ONNX operators" in caught.value.hint
