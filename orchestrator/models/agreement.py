"""Whether two sets of outputs agree, and how much outputs depend on the input (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_REL_L2 = 1e-2
_MISMATCH = 0.01


def relative_l2(values: Array, reference: Array) -> float:
    """|values − reference| / |reference| over finite elements; infinite where they are finite in different places."""
    one, two = values.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(two)
    if not np.array_equal(finite, np.isfinite(one)):
        return float("inf")
    scale = float(np.linalg.norm(two[finite]))
    error = float(np.linalg.norm(one[finite] - two[finite]))
    if error == 0:
        return 0.0
    return error / scale if scale else float("inf")


def differing(values: Sequence[Array], reference: Sequence[Array], *, limit: float = _REL_L2) -> bool:
    """True where any output disagrees: floats by relative L2, integers and booleans by the share of mismatches."""
    return any(
        relative_l2(one, two) > limit if two.dtype.kind == "f" else mismatch_fraction(one, two) > _MISMATCH
        for one, two in zip(values, reference, strict=True))


def mismatch_fraction(values: Array, reference: Array) -> float:
    """Share of elements that are not equal; 0 for arrays without elements."""
    return float(np.mean(values != reference)) if reference.size else 0.0


def variation(rows: Array) -> float:
    """How much of an output (S, …) changes from sample to sample: |rows − their mean| / |rows|, 0 where constant."""
    wide = np.nan_to_num(rows.astype(np.float64), posinf=0.0, neginf=0.0)
    scale = float(np.linalg.norm(wide))
    return float(np.linalg.norm(wide - wide.mean(axis=0, keepdims=True))) / scale if scale else 0.0
