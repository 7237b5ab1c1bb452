"""Free dimensions: which is the batch, what the others become, and that every default is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ModelError
from orchestrator.model import TensorSpec
from orchestrator.models.dims import UNKNOWN_RANK, choose

Shape = tuple[int | str, ...]


def spec(name: str, *shape: int | str, dtype: str = "float") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


OUT = (spec("y", "batch", 10),)


@pytest.mark.parametrize(("shape", "dtype", "chosen"), [
    (("batch", 3, "height", "width"), "float", (1, 3, 224, 224)),
    (("?", 3, "?", "?"), "float", (1, 3, 224, 224)),
    (("?", "?", "?", 3), "float", (1, 224, 224, 3)),
    (("?", "?", "?", "?"), "float", (1, 3, 224, 224)),
    (("batch", "sequence"), "int64", (1, 128)),
    (("batch_size", "sequence_length", 16), "float", (1, 128, 16)),
    (("N", "maxLen"), "float", (1, 128)),
    (("?", "?"), "int64", (1, 128)),
    (("N", "features"), "float", (1, 1)),
    (("N", 80, "time_steps"), "float", (1, 80, 128)),
])
def test_defaults_follow_names_and_ranks(shape: Shape, dtype: str, chosen: tuple[int, ...]) -> None:
    dims = choose([spec("x", *shape, dtype=dtype)], OUT, {}, {})
    assert dims.shapes["x"] == chosen
    assert dims.batchable
    assert any("--shape x=" in note for note in dims.notes)


def test_nothing_free_gives_no_notes() -> None:
    dims = choose([spec("x", "batch", 3)], OUT, {}, {})
    assert dims.notes == ()


@pytest.mark.parametrize(("inputs", "outputs"), [
    ((spec("x", 1, 3),), OUT), ((spec("x"),), OUT), ((spec("x", "batch", 3), spec("s")), OUT),
    ((spec("x", "a", 3), spec("z", "b", 3)), OUT), ((spec("x", "batch", 3),), (spec("y", 1, 10),)),
    ((spec("x", "batch", 3),), (spec("y"),)), ((spec("x", "seq_len", 3),), OUT),
    ((spec("x", "n", "n"),), OUT), ((), OUT),
])
def test_not_a_batch(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    assert not choose(inputs, outputs, {}, {}).batchable


def test_outputs_of_unknown_shape_leave_the_batch_to_be_verified() -> None:
    assert choose([spec("x", "batch", 3)], [spec("y", *UNKNOWN_RANK)], {}, {}).batchable


def test_a_shape_with_one_row_keeps_the_batch_free_and_more_rows_fix_it() -> None:
    image = spec("x", "batch", 3, "h", "w")
    one = choose([image], OUT, {"x": (1, 3, 64, 32)}, {})
    eight = choose([image], OUT, {"x": (8, 3, 64, 32)}, {})
    assert (one.batchable, one.shapes["x"], one.bound) == (True, (1, 3, 64, 32), {"h": 64, "w": 32})
    assert (eight.batchable, eight.fixed_batch) == (False, 8)


def test_a_symbol_has_one_size_everywhere() -> None:
    dims = choose([spec("a", "batch", "seq"), spec("b", "batch", "seq", 4)], OUT, {"b": (1, 9, 4)}, {})
    assert dims.shapes["a"] == (1, 9)


def test_contradicting_shapes_are_refused() -> None:
    with pytest.raises(ModelError, match="both 5 and 6"):
        choose([spec("a", "batch", "seq"), spec("b", "batch", "seq")], OUT, {"a": (1, 5), "b": (1, 6)}, {})


def test_sums_of_symbols_are_computed() -> None:
    dims = choose([spec("ids", "batch", "sequence_length", dtype="int64"),
                   spec("past", "batch", 2, "past_sequence_length", 8),
                   spec("mask", "batch", "past_sequence_length + sequence_length", dtype="int64")], OUT, {}, {})
    assert dims.shapes["mask"] == (1, dims.shapes["ids"][1] + dims.shapes["past"][2])


def test_what_the_weights_demand_beats_names() -> None:
    assert choose([spec("x", "batch", "height")], OUT, {}, {("x", 1): 200}).shapes["x"] == (1, 200)


DIMENSION = st.one_of(st.integers(0, 9), st.sampled_from(["?", "batch", "seq", "height", "n", "a + b", "", "ü"]))


@given(st.lists(st.lists(DIMENSION, max_size=5).map(tuple), max_size=4), st.lists(DIMENSION, max_size=3).map(tuple))
def test_any_declaration_gets_whole_shapes_that_respect_fixed_dimensions(shapes: list[Shape], out: Shape) -> None:
    inputs = [spec(f"i{number}", *shape) for number, shape in enumerate(shapes)]
    dims = choose(inputs, [spec("y", *out)], {}, {})
    for tensor in inputs:
        chosen = dims.shapes[tensor.name]
        assert len(chosen) == len(tensor.shape)
        for dim, size in zip(tensor.shape, chosen, strict=True):
            assert size == dim if isinstance(dim, int) else size >= 1
    assert dims.fixed_batch >= 1
    assert not (dims.batchable and dims.fixed_batch != 1)
