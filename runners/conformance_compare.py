"""Whether outputs are what a test of the ONNX project expects, by that project's own rule.

`assert_similar_outputs` of onnx.backend.test.runner: as many outputs, equal shapes and types, values within the test's own
tolerances. Widths are compared in double precision, where the original computes in the output's own.
"""

from typing import Any, Optional, Sequence

import numpy as np

SHAPES = "shapes"  # of a random operator nothing but shape and type can be expected


def difference(outputs: Sequence[Any], expected: Sequence[np.ndarray], names: Sequence[str], *, rtol: float, atol: float,
               compare: str) -> Optional[str]:
    """One sentence about the first difference that the test does not allow; None where there is none."""
    if not isinstance(outputs, (list, tuple)) or len(outputs) != len(expected):
        count = len(outputs) if isinstance(outputs, (list, tuple)) else "no list of"
        return "{} outputs instead of {}".format(count, len(expected))
    for place, wanted in enumerate(expected):
        problem = _one(outputs[place], wanted, rtol, atol, values=compare != SHAPES)
        if problem is not None:
            return "output {}: {}".format(names[place], problem)
    return None


def _one(output: Any, wanted: np.ndarray, rtol: float, atol: float, *, values: bool) -> Optional[str]:
    if not isinstance(output, (np.ndarray, np.generic)):
        return "a {} instead of a tensor".format(type(output).__name__)
    if tuple(output.shape) != tuple(wanted.shape):
        return "shape {} instead of {}".format(list(output.shape), list(wanted.shape))
    if output.dtype != wanted.dtype:
        return "type {} instead of {}".format(output.dtype, wanted.dtype)
    if not values or wanted.size == 0:
        return None
    # 64-bit integers have more digits than a double: equal ones are equal before anything is rounded.
    same = np.asarray(output == wanted)
    with np.errstate(all="ignore"):
        got, right = np.asarray(output, np.float64), np.asarray(wanted, np.float64)
        wrong = ~(same | np.isclose(got, right, rtol=rtol, atol=atol, equal_nan=True))
        count = int(np.count_nonzero(wrong))
        if not count:
            return None
        first = int(np.flatnonzero(wrong)[0])
        largest = np.abs(got - right)[wrong].max()
    return "{} of {} values differ by more than the test allows, the first is {} instead of {}{}".format(
        count, wanted.size, _shown(np.ravel(output)[first]), _shown(np.ravel(wanted)[first]),
        " (largest difference {:.3g})".format(largest) if np.isfinite(largest) else "")


def _shown(value: Any) -> str:
    return "{:.6g}".format(float(value)) if isinstance(value, np.floating) else str(value)
