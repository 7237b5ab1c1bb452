"""Generated inputs stay in range and repeat by seed; given ones are checked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from orchestrator.errors import ModelError
from orchestrator.model import TensorSpec
from orchestrator.models.elements import NUMPY_TYPES
from orchestrator.models.inputs import Spread, as_rows, generate, given_shapes, input_rules, read_given, rule_notes
from orchestrator.models.onnxfile import OnnxFile, inspect
from orchestrator.models.rules import Rule, RuleKind
from tests.models.onnxbuild import SaveModel

F, I64 = TensorProto.FLOAT, TensorProto.INT64


def identity(dtype: str, shape: list[int | str | None], folder: Path, name: str = "x") -> OnnxFile:
    number = TensorProto.DataType.Value(dtype.upper())
    graph = helper.make_graph([helper.make_node("Identity", [name], ["y"])], "g",
                              [helper.make_tensor_value_info(name, number, shape)],
                              [helper.make_tensor_value_info("y", number, shape)])
    path = folder / "identity.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return inspect(path)


@settings(deadline=None, max_examples=60)
@given(dtype=st.sampled_from(sorted(NUMPY_TYPES)), row=st.lists(st.integers(0, 5), max_size=3),
       free=st.booleans(), samples=st.integers(1, 6), seed=st.integers(0, 2**40), low=st.integers(0, 50),
       width=st.integers(1, 200))
def test_type_shape_range_and_seed(dtype: str, row: list[int], free: bool, samples: int, seed: int, low: int,
                                   width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = identity(dtype, [*(["N"] if free else []), *row], Path(folder))
    rule = Rule(kind=RuleKind.RANGE, low=low, high=low + width, why="test")
    for rules in ({}, {"x": rule}):
        array = generate(file, samples, seed, rules=rules)["x"]
        assert array.dtype == NUMPY_TYPES[dtype]
        assert array.shape == (samples, *row)
        np.testing.assert_array_equal(array, generate(file, samples, seed, rules=rules)["x"])
        np.testing.assert_array_equal(array[:1], generate(file, 1, seed, rules=rules)["x"])
    if array.size and dtype != "bool":
        assert array.min() >= low
        assert array.max() <= low + width


def test_another_seed_and_another_sample_differ(linear: Path) -> None:
    file = inspect(linear)
    one, two = generate(file, 2, 1)["x"], generate(file, 2, 2)["x"]
    assert not np.array_equal(one, two)
    assert not np.array_equal(one[0], one[1])


def test_floats_are_standard_normal_and_bytes_cover_an_image(tmp_path: Path) -> None:
    floats = generate(identity("float", ["N", 5000], tmp_path), 2, 0)["x"]
    assert abs(floats.mean()) < 0.05
    assert abs(floats.std() - 1) < 0.05
    pixels = generate(identity("uint8", ["N", 5000], tmp_path), 2, 0)["x"]
    assert (pixels.min(), pixels.max()) == (0, 255)
    unit = generate(identity("float", ["N", 5000], tmp_path), 2, 0, spread=Spread.UNIT)["x"]
    assert unit.min() >= 0 and unit.max() < 1  # noqa: PT018


@pytest.mark.parametrize("dtype", ["int64", "float", "bool", "int32"])
def test_masks_are_ones(tmp_path: Path, dtype: str) -> None:
    file = identity(dtype, ["N", 4], tmp_path, name="attention_mask")
    assert (generate(file, 3, 0)["attention_mask"] == 1).all()
    assert "attend" in rule_notes(file, input_rules(file))[0]


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


SPECS = (TensorSpec(name="x", dtype="float", shape=("batch", 4)),)


def test_given_arrays_may_be_one_sample_or_rows(linear: Path, tmp_path: Path) -> None:
    file = inspect(linear)
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    for array, count in ((rows, 3), (rows[0], 1), (rows[:, None], 3)):
        read = read_given(save(tmp_path / "in.npz", x=array), file.inputs)
        assert given_shapes(read, file.inputs, free_batch=True) == {"x": (1, 4)}
        if array.ndim < 3:
            np.testing.assert_array_equal(as_rows(read, file)["x"], rows[:count])


def test_a_single_npy_serves_a_model_with_one_input(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 4), np.float32))
    assert read_given(tmp_path / "in.npy", SPECS)["x"].shape == (2, 4)


def test_given_sizes_set_free_dimensions() -> None:
    specs = (TensorSpec(name="ids", dtype="int64", shape=("batch", "seq")),)
    assert given_shapes({"ids": np.zeros((5, 77), np.int64)}, specs, free_batch=True) == {"ids": (1, 77)}
    assert given_shapes({"ids": np.zeros((5, 77), np.int64)}, specs, free_batch=False) == {"ids": (5, 77)}


@pytest.mark.parametrize(("arrays", "message"), [
    ({"X": np.ones((2, 4), np.float32)}, "no such input"), ({}, "lacks the input 'x'"),
    ({"x": np.ones((2, 4))}, "type float64"), ({"x": np.array([{}])}, "cannot be used as inputs"),
])
def test_given_arrays_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_given(save(tmp_path / "in.npz", **arrays), SPECS)


@pytest.mark.parametrize("content", [b"", b"not numpy", b"PK\3\4broken", b"\x93NUMPY\x01\x00"])
def test_damaged_files_of_inputs_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.npz").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be used as inputs"):
        read_given(tmp_path / "in.npz", SPECS)


def test_given_arrays_of_wrong_shape_are_refused() -> None:
    with pytest.raises(ModelError, match="the model takes batchx4"):
        given_shapes({"x": np.ones((2, 5), np.float32)}, SPECS, free_batch=True)


def test_inputs_with_different_numbers_of_rows_are_refused(save_model: SaveModel) -> None:
    file = inspect(save_model([helper.make_node("Add", ["a", "b"], ["y"])], [("a", F, ["N", 2]), ("b", F, ["N", 2])],
                              [("y", F, ["N", 2])]))
    with pytest.raises(ModelError, match="a: 3, b: 2"):
        as_rows({"a": np.ones((3, 2), np.float32), "b": np.ones((2, 2), np.float32)}, file)
