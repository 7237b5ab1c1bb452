"""The two engines that compute reference outputs; imported only in the child process of `reference.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import scipy.special
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from orchestrator.models.elements import NUMPY_TYPES, element_name
from orchestrator.models.promote import promote

Array = npt.NDArray[Any]
Predict = Callable[[Mapping[str, Array]], list[Array]]
_PLAIN = frozenset(np.dtype(kind) for kind in NUMPY_TYPES.values())
_REAL = ("float16", "bfloat16", "float32")


class Erf(OpRun):  # type: ignore[misc]
    """The evaluator's own Erf rounds to float32 and is two orders of magnitude slower."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(scipy.special.erf(x)).astype(x.dtype),)


def load_evaluator(path: Path) -> Predict:
    """onnx's reference evaluator on the float64 version of the model."""
    model = onnx.load(str(path), format="protobuf")
    promote(model)
    evaluator = ReferenceEvaluator(model, new_ops=[Erf])

    def predict(feeds: Mapping[str, Array]) -> list[Array]:
        wide = {name: array.astype(np.float64) if array.dtype.name in _REAL else array for name, array in feeds.items()}
        return [_plain(value) for value in evaluator.run(None, wide)]

    return predict


def load_onnxruntime(path: Path) -> Predict:
    """onnxruntime on the CPU, as the file is: no graph optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the machine may be shared
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(feeds: Mapping[str, Array]) -> list[Array]:
        values = session.run_with_ort_values(None, {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))
            for name, array in feeds.items()})
        return [_plain(_to_numpy(value)) for value in values]

    return predict


def _to_numpy(value: Any) -> Any:
    if not value.is_tensor():
        raise TypeError("an output is a sequence, map or missing optional, not a tensor")
    if element_name(value.element_type()) == "bfloat16":  # numpy has no such type; the bits are the upper half of float32
        raise TypeError("an output is bfloat16, which onnxruntime cannot hand over to numpy")
    return value.numpy()


def _plain(value: Any) -> Array:
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"an output is a {type(value).__name__}, not a tensor")
    array = np.asarray(value)
    if array.dtype.name in _REAL:  # every float16/bfloat16/float32 value is exact in float64
        return array.astype(np.float64)
    if array.dtype not in _PLAIN:
        raise TypeError(f"an output has the type {array.dtype}, which cannot be compared")
    return array
