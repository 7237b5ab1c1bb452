"""How much arithmetic one inference is: multiply-adds of convolutions and matrix products over the ONNX graph (pure).

That is what papers call FLOPs (or MACs); who counts a multiplication and an addition as two has twice the number. Additions of
biases, activations, normalisation, pooling and resizing are not counted, as usual: in the built-in models they are under 3 %.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnx import helper

from orchestrator.models.graphs import all_tensors, nodes_below
from orchestrator.models.onnxfile import OnnxFile
from orchestrator.models.shapes import inferred_shapes, inlined

Shape = tuple[int, ...]
_STANDARD = ("", "ai.onnx")
# Operators that multiply matrices without being counted here: a total without them would be wrong, so there is none.
_UNKNOWN = frozenset({"Attention", "DeformConv", "Einsum", "Loop", "Scan", "If", "SequenceMap"})


@dataclass(frozen=True, kw_only=True)
class Work:
    """Of one inference with the shapes the file was inspected with; None with the reason where it cannot be told."""

    multiply_adds: int | None
    reason: str | None = None
    by_operator: Mapping[str, int] = field(default_factory=dict)


class _UnknownError(Exception):
    pass


@dataclass(frozen=True)
class _Shapes:
    """The shapes of one node's values."""

    known: Mapping[str, Shape]
    node: Any

    def __call__(self, name: str) -> Shape:
        if name not in self.known:
            raise _UnknownError(f"the shape of {name!r}, which a {self.node.op_type} has, cannot be inferred")
        return self.known[name]


def count_work(file: OnnxFile) -> Work:
    """Multiply-adds with a batch of 1, or of the size that the file fixes."""
    model = inlined(file.skeleton)
    shapes: dict[str, Shape] = {
        name: tuple(dim for dim in shape if dim is not None)
        for name, shape in inferred_shapes(model, file.dims.shapes).items() if None not in shape}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in all_tensors(model) if tensor.name}
    found: Counter[str] = Counter()
    for node in nodes_below(model.graph.node):
        if node.domain not in _STANDARD or node.op_type in _UNKNOWN:
            return Work(multiply_adds=None, reason=f"the work of the operator {node.op_type} is not known")
        rule = _RULES.get(node.op_type)
        if rule is None:
            continue
        try:
            found[node.op_type] += rule(node, _Shapes(shapes, node))
        except _UnknownError as error:
            return Work(multiply_adds=None, reason=str(error))
    return Work(multiply_adds=sum(found.values()), by_operator=dict(found))


def _conv(weight: int) -> Callable[[Any, _Shapes], int]:
    # Weights are (out, in / groups, kernel…): each output element is a sum over all but the first.
    return lambda node, of: math.prod(of(node.output[0])) * math.prod(of(node.input[weight])[1:])


def _transposed(node: Any, of: _Shapes) -> int:
    # Weights are (in, out / groups, kernel…): each input element is multiplied with all but the first.
    return math.prod(of(node.input[0])) * math.prod(of(node.input[1])[1:])


def _matmul(node: Any, of: _Shapes) -> int:
    return math.prod(of(node.output[0])) * of(node.input[0])[-1]


def _gemm(node: Any, of: _Shapes) -> int:
    transposed = any(a.name == "transA" and helper.get_attribute_value(a) for a in node.attribute)
    return math.prod(of(node.output[0])) * of(node.input[0])[0 if transposed else 1]


def _recurrent(node: Any, of: _Shapes) -> int:
    # (directions, gates × hidden, input or hidden): all of it once for each step of each sequence, whatever the layout.
    steps = math.prod(of(node.input[0])[:2])
    return steps * (math.prod(of(node.input[1])) + math.prod(of(node.input[2])))


_RULES: Mapping[str, Callable[[Any, _Shapes], int]] = {
    "Conv": _conv(1), "ConvInteger": _conv(1), "QLinearConv": _conv(3), "ConvTranspose": _transposed,
    "MatMul": _matmul, "MatMulInteger": _matmul, "QLinearMatMul": _matmul, "Gemm": _gemm,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
}
