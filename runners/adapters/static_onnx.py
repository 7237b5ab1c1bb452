"""ONNX files with every input's shape pinned, for the backends whose compilers take nothing open.

Imports onnx, which the environments of those backends hold.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class Tensor:
    """One input or output as the file declares it."""

    name: str
    dtype: str  # numpy's name


def shapes_for(samples: Mapping[str, Any], names: Sequence[str], rows: Optional[int]) -> List[Tuple[int, ...]]:
    """The inputs' shapes with `rows` samples; None: the model is not batchable, and a sample is its whole input."""
    return [tuple(samples[name].shape[1:]) if rows is None else (rows, *samples[name].shape[1:]) for name in names]


def load_pinned(path: str, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> Any:
    """The model with these input shapes and no others noted in it: what lies between is inferred anew."""
    import onnx

    model = onnx.load(path)
    wanted = {name: shapes[index] for index, name in enumerate(names)}
    for tensor in model.graph.input:
        if tensor.name in wanted:
            _pin(tensor, wanted[tensor.name])
    del model.graph.value_info[:]
    for tensor in model.graph.output:  # declared for any batch, and wrong for one
        tensor.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def inputs_of(model: Any) -> List[Tensor]:
    """What a caller feeds, in the file's order: without those inputs that the file itself gives a value."""
    given = {tensor.name for tensor in model.graph.initializer}
    return [_tensor(tensor) for tensor in model.graph.input if tensor.name not in given]


def outputs_of(model: Any) -> List[Tensor]:
    """In the file's order."""
    return [_tensor(tensor) for tensor in model.graph.output]


def operators_of(model: Any) -> List[str]:
    """Every kind of operator, once; those of foreign domains with the domain before them."""
    kinds = {node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}" for node in model.graph.node}
    return sorted(kinds)


def opset_of(model: Any) -> int:
    """Of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _tensor(value: Any) -> Tensor:
    import onnx

    return Tensor(value.name, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name)


def _pin(tensor: Any, shape: Sequence[int]) -> None:
    dims = tensor.type.tensor_type.shape
    del dims.dim[:]
    for size in shape:
        dims.dim.add().dim_value = int(size)
    dims.SetInParent()  # a scalar has a shape too: an empty one
