"""ONNX element types by their ONNX names (`float`, `int64` …) and what numpy can carry of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

NUMPY_TYPES: dict[str, Any] = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}
FLOATS = frozenset({"float", "double", "float16", "bfloat16"})
HALVES = frozenset({"float16", "bfloat16"})


def element_name(number: int) -> str:
    """`1` → `float`; numbers that this version of onnx does not know become `type 99`."""
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"


def numpy_type(name: str) -> np.dtype[Any]:
    """The numpy dtype of an ONNX element type.

    Raises:
        KeyError: numpy alone cannot carry it (bfloat16, float8, int4, complex, string …).
    """
    dtype: np.dtype[Any] = np.dtype(NUMPY_TYPES[name])
    return dtype
