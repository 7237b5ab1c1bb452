from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

sys.path.append(str(Path(__file__).parents[2] / "runners"))

from conformance_compare import difference  # type: ignore[import-not-found]

TYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint64, np.bool_])
Array = npt.NDArray[Any]


def told(got: Array, wanted: Array, **changes: Any) -> str | None:
    rule = {"rtol": 1e-3, "atol": 1e-7, "compare": "values", **changes}
    found: str | None = difference([got], [wanted], ["y"], **rule)
    return found


@given(TYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0))))
def test_every_array_is_what_it_is(array: Array) -> None:
    assert told(array, array.copy()) is None


@given(
    hnp.arrays(np.float32, st.integers(1, 8), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(0, 1e-2), st.floats(0, 1e-2), st.floats(0, 1e-2),
)
def test_it_agrees_with_the_rule_of_the_onnx_project(wanted: Array, change: float, rtol: float, atol: float) -> None:
    got = (wanted * np.float32(1 + change)).astype(np.float32)
    try:
        np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol)
    except AssertionError:
        assert told(got, wanted, rtol=rtol, atol=atol) is not None
    else:
        assert told(got, wanted, rtol=rtol, atol=atol) is None


def test_large_whole_numbers_are_compared_without_rounding() -> None:
    top = np.array([2**64 - 1], np.uint64)
    assert told(top, top) is None
    assert told(np.array([0], np.uint64), top) is not None


def test_infinities_and_nan_must_be_where_they_are_expected() -> None:
    wanted = np.array([np.inf, -np.inf, np.nan, 1], np.float32)
    assert told(wanted, wanted) is None
    assert told(np.array([np.inf, -np.inf, 0, 1], np.float32), wanted) is not None
    assert told(np.array([3.4e38, -np.inf, np.nan, 1], np.float32), wanted) is not None


@pytest.mark.parametrize("outputs", [[], [np.zeros(2)], None, [np.zeros(3)] * 2, ["text"]])
def test_what_is_no_such_list_of_arrays_differs(outputs: Any) -> None:
    assert difference(outputs, [np.zeros(3)], ["y"], rtol=1, atol=1, compare="values") is not None


def test_of_a_random_operator_only_shape_and_type_count() -> None:
    assert told(np.ones(3), np.zeros(3), compare="shapes") is None
    assert told(np.ones(4), np.zeros(3), compare="shapes") is not None
    assert told(np.ones(3, np.float32), np.zeros(3), compare="shapes") is not None
