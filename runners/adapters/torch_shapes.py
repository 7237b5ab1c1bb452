"""Writes down the targets of Reshape nodes that a graph computes from shapes, so that nothing has to be computed.

An exporter that keeps the batch free turns `x.view(*x.shape[:2], -1, 32)` into Shape, Gather, Concat and Reshape.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import numpy as np

Dim = Union[int, str, None]  # a number, the name of a free dimension, or unknown
COPY, INFER = 0, -1  # what Reshape reads as "the input's own" and "whatever is left"
_SMALL = 64  # elements: initializers up to here can be (parts of) shapes


def constant_reshapes(model: Any) -> Any:
    """Changes `model` in place, as far as it can be done, and returns it."""
    from onnx import numpy_helper

    while True:
        known = _Known(model)
        changed = False
        for index, node in enumerate(model.graph.node):
            if node.op_type != "Reshape" or node.input[1] in known.constants:
                continue
            target = _target(known.values(node.input[1]), known.shape(node.input[0]))
            if target is None:
                continue
            name = f"infermatrix_shape_{index}"
            model.graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
            node.input[1] = name
            changed = True
        if not changed:  # else more shapes are known now, and with them more targets
            return model


def _target(values: Optional[List[Dim]], source: Optional[List[Dim]]) -> Optional[List[int]]:
    """The constant target, if `values` (of a tensor of shape `source`) leave at most one dimension to infer."""
    if values is None or 0 in values:
        return None
    target: List[int] = []
    for index, value in enumerate(values):
        if isinstance(value, int):
            target.append(value)
        elif value is not None and source is not None and index < len(source) and source[index] == value:
            target.append(COPY)
        else:
            target.append(INFER)
    return target if target.count(INFER) <= 1 else None


class _Known:
    """What shape inference and a little arithmetic tell of a graph."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self._nodes = {output: node for node in model.graph.node for output in node.output}
        self.constants: Dict[str, List[int]] = {}
        for tensor in model.graph.initializer:
            if int(np.prod(list(tensor.dims))) <= _SMALL and tensor.data_type in (6, 7):
                self.constants[tensor.name] = numpy_helper.to_array(tensor).reshape(-1).tolist()
        self._shapes = _inferred(model)

    def shape(self, name: str) -> Optional[List[Dim]]:
        """Of a value; None where not even its rank is known."""
        return self._shapes.get(name)

    def values(self, name: str) -> Optional[List[Dim]]:
        """The elements of an integer tensor of at most one dimension."""
        if name in self.constants:
            return list(self.constants[name])
        node = self._nodes.get(name)
        return None if node is None else self._computed(node)

    def _computed(self, node: Any) -> Optional[List[Dim]]:
        kind = node.op_type
        if kind == "Shape":
            dims = self.shape(node.input[0])
            attributes = {a.name: a.i for a in node.attribute}
            return None if dims is None else dims[attributes.get("start", 0):attributes.get("end", len(dims))]
        parts = [self.values(name) if name else [] for name in node.input]
        if any(part is None for part in parts):
            return None
        given: List[List[Dim]] = [part for part in parts if part is not None]
        if kind in ("Unsqueeze", "Squeeze", "Identity", "Cast"):
            return given[0]
        if kind == "Concat":
            return [value for part in given for value in part]
        if kind == "Gather":
            return [given[0][i] if isinstance(i, int) and -len(given[0]) <= i < len(given[0]) else None for i in given[1]]
        if kind == "Slice":
            return self._slice(given)
        if kind in ("Mul", "Add", "Sub"):
            return self._arithmetic(kind, given)
        return None

    @staticmethod
    def _slice(given: List[List[Dim]]) -> Optional[List[Dim]]:
        bounds = [part[0] if part else None for part in given[1:]]
        step = bounds[3] if len(bounds) > 3 and bounds[3] is not None else 1
        if not all(isinstance(bound, int) for bound in (bounds[0], bounds[1], step)):
            return None
        return given[0][slice(bounds[0], bounds[1], step)]  # type: ignore[misc]

    @staticmethod
    def _arithmetic(kind: str, given: List[List[Dim]]) -> Optional[List[Dim]]:
        left, right = given
        size = max(len(left), len(right))
        if not left or not right:
            return None
        result: List[Dim] = []
        for index in range(size):
            a, b = left[index % len(left)], right[index % len(right)]
            numbers = isinstance(a, int) and isinstance(b, int)
            result.append({"Mul": a * b, "Add": a + b, "Sub": a - b}[kind] if numbers else None)  # type: ignore[operator]
        return result


def _inferred(model: Any) -> Dict[str, List[Dim]]:
    """Shapes by name, from a copy without weights: inference copies a model, and is asked many times."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    for tensor in model.graph.initializer:
        if int(np.prod(list(tensor.dims))) <= _SMALL:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    del bare.graph.value_info[:]  # what an earlier, less informed inference wrote
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    shapes: Dict[str, List[Dim]] = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shapes[value.name] = [_dim(dim) for dim in kind.shape.dim]
    return shapes


def _dim(dim: Any) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return dim.dim_param or None
