"""Free input dimensions whose size the weights dictate: channels of a Conv, features of a MatMul (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnx import ModelProto, helper

_SAME_SHAPE = frozenset({"Identity", "Cast", "Relu", "Sigmoid", "Tanh", "Dropout", "Neg", "Clip", "LeakyRelu"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


def learn_dims(model: ModelProto, ranks: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """(input, axis) -> size, for what the first layers after each input of known rank demand."""
    weights = _weight_dims(model)
    origin = {name: name for name in ranks}
    learnt: dict[tuple[str, int], int] = {}
    for node in model.graph.node:  # topologically sorted, so one pass follows a chain
        source = origin.get(node.input[0]) if node.input else None
        if source is None:
            continue
        if node.op_type in _SAME_SHAPE and node.output:
            origin[node.output[0]] = source
            continue
        found = _demand(node, [weights.get(name) for name in node.input], ranks[source])
        if found and found[0] < ranks[source]:
            learnt.setdefault((source, found[0]), found[1])
    return learnt


def _demand(node: Any, dims: list[tuple[int, ...] | None], rank: int) -> tuple[int, int] | None:
    """(axis, size) that this node asks of its first input."""
    weight = dims[1] if len(dims) > 1 else None
    if not weight:
        return None
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute
                  if a.name in ("group", "transA", "transB")}
    result = None
    if node.op_type == "Conv":
        result = (1, weight[1] * int(attributes.get("group", 1))) if len(weight) > 1 else None
    elif node.op_type == "ConvTranspose":
        result = (1, weight[0])
    elif node.op_type == "MatMul":
        result = (rank - 1, weight[-2] if len(weight) > 1 else weight[0])
    elif node.op_type == "Gemm" and not attributes.get("transA", 0) and len(weight) > 1:
        result = (1, weight[1 if attributes.get("transB", 0) else 0])
    elif node.op_type in _RECURRENT:
        result = (2, weight[-1])
    elif node.op_type == "BatchNormalization":
        result = (1, weight[0])
    return result


def _weight_dims(model: ModelProto) -> dict[str, tuple[int, ...]]:
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in _tensors(node.attribute):
                dims[node.output[0]] = tuple(attribute.t.dims)
        elif node.op_type in ("DequantizeLinear", "Identity", "Cast") and node.input[0] in dims:
            dims[node.output[0]] = dims[node.input[0]]
    return dims


def _tensors(attributes: Iterable[Any]) -> list[Any]:
    return [a for a in attributes if a.name == "value"]
