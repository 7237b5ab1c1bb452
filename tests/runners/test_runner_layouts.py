"""Axes are moved as numpy would, whatever shortcut is taken, and a layout survives its file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

layouts: Any = import_module("layouts")
Layout, Tensor, placed = layouts.Layout, layouts.Tensor, layouts.placed
channels_first, channels_last = layouts.channels_first, layouts.channels_last


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_a_moved_array_is_numpy_s_transposition_and_comes_back(shape: list[int]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    moved = placed(array, channels_last(len(shape)), "float32")
    assert moved.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(moved, array.transpose(channels_last(len(shape))))
    np.testing.assert_array_equal(moved.transpose(channels_first(len(shape))), array)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3)])
def test_types_are_narrowed_while_axes_move(shape: tuple[int, ...]) -> None:
    moved = placed(np.ones(shape, np.int64), channels_last(len(shape)), "int32")
    assert moved.dtype == np.int32


def test_what_needs_no_moving_is_not_copied() -> None:
    array = np.ones((2, 3), np.float32)
    assert placed(array, (0, 1), "float32") is array


def test_a_layout_survives_its_file(tmp_path: Path) -> None:
    layout = Layout(inputs=(Tensor(name="x", inner="in0", perm=(0, 2, 3, 1), dtype="float32"),),
                    outputs=(Tensor(name="y", inner="out0", perm=(0, 1), dtype="float32"),), any_batch=True)
    layout.write(str(tmp_path))
    assert Layout.beside(str(tmp_path / "model.tflite")) == layout
    (fed,) = layout.feeds({"x": np.ones((1, 3, 4, 5), np.float32)})
    assert fed.shape == (1, 4, 5, 3)
