"""A first dimension that the file fixes."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from orchestrator.models.prepare import prepare_file
from tests.models.onnxbuild import SaveModel

F = TensorProto.FLOAT


@pytest.mark.parametrize(("axis", "batch"), [(1, 8), (0, 1)])
def test_fixed_first_dimension_counts_as_batch_only_if_rows_are_independent(
        save_model: SaveModel, cache: Path, axis: int, batch: int) -> None:
    path = save_model([helper.make_node("Softmax", ["x"], ["y"], axis=axis)], [("x", F, [8, 4])], [("y", F, [8, 4])])
    prepared = prepare_file(path, cache_dir=cache)
    assert (prepared.batchable, prepared.fixed_batch) == (False, batch)
