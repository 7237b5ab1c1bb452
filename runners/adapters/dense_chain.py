"""A plain chain of dense layers: read from the nodes of a graph, kept in a file, for frameworks that read no ONNX.

Pure, but for the file. What is no such chain is refused with the name of the first operator that does not fit.
"""
from __future__ import annotations

import json
from enum import Enum
from typing import Any, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple

import numpy as np

from .base import Unsupported

FLOAT = np.dtype(np.float32)
FLAT = 2  # axes of what a dense layer takes: samples, features


class Kind(str, Enum):
    """What a layer does."""

    DENSE = "dense"
    FLATTEN = "flatten"  # all axes but the first become one
    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    SOFTMAX = "softmax"  # along the features


class Layer(NamedTuple):
    """One step; only a dense one has weights."""

    kind: Kind
    weight: Optional[np.ndarray] = None  # (features in, features out), float32
    bias: Optional[np.ndarray] = None  # (features out,), float32; None: there is none


class Node(NamedTuple):
    """An operator as the graph has it."""

    op: str  # "Gemm"; of a foreign domain: "domain::Name"
    inputs: Tuple[str, ...]  # without those that are left out at the end; "" where one is left out between
    outputs: Tuple[str, ...]
    attributes: Mapping[str, Any]


class Graph(NamedTuple):
    """The part of a model that says what it computes."""

    input: str
    rank: int  # axes of the input, the first being samples
    output: str
    nodes: Sequence[Node]
    constants: Mapping[str, np.ndarray]
    opset: int


class Chain(NamedTuple):
    """The network, with names for its two ends."""

    input: str
    output: str
    rank: int  # axes of the input
    layers: Tuple[Layer, ...]


ELEMENTWISE = {"Relu": Kind.RELU, "Sigmoid": Kind.SIGMOID, "Tanh": Kind.TANH}
FITS = "Gemm, MatMul, Add, Relu, Sigmoid, Tanh, Softmax, Flatten, Identity"


def read_chain(graph: Graph) -> Chain:
    """The layers in order.

    Raises:
        Unsupported: with the first operator that is not part of a plain chain of dense layers.
    """
    layers: List[Layer] = []
    value, rank = graph.input, graph.rank
    for node in graph.nodes:
        _check_place(node, value, graph.constants)
        if node.op in ELEMENTWISE:
            layers.append(Layer(ELEMENTWISE[node.op]))
        elif node.op == "Flatten":
            _check_flatten(node, rank)
            if rank != FLAT:
                layers.append(Layer(Kind.FLATTEN))
            rank = FLAT
        elif node.op != "Identity":
            if rank != FLAT:
                _refuse(node, f"it takes a value of {rank} axes")
            _append(layers, node, graph)
        value = node.outputs[0]
    if value != graph.output:
        raise Unsupported(f"the output {graph.output} is not the end of the chain of operators, which is {value}")
    return Chain(graph.input, graph.output, graph.rank, tuple(layers))


def _append(layers: List[Layer], node: Node, graph: Graph) -> None:
    """Those that work on samples × features."""
    if node.op == "Gemm":
        layers.append(_gemm(node, graph.constants))
    elif node.op == "MatMul":
        layers.append(Layer(Kind.DENSE, _matrix(node, graph.constants)))
    elif node.op == "Add" and layers and layers[-1].kind is Kind.DENSE:
        layers[-1] = _with_bias(layers[-1], node, graph.constants)
    elif node.op == "Softmax":
        if int(node.attributes.get("axis", 1 if graph.opset < 13 else -1)) not in (1, -1):
            _refuse(node, "it is along the samples")
        layers.append(Layer(Kind.SOFTMAX))
    else:
        _refuse(node, "it follows no matrix product" if node.op == "Add" else "")


def _check_place(node: Node, value: str, constants: Mapping[str, np.ndarray]) -> None:
    """A link of a chain takes the value of the one before, once, and gives one value."""
    if node.op not in FITS.split(", "):
        _refuse(node, "")
    if [name for name in node.inputs if name and name not in constants] != [value] or len(node.outputs) != 1:
        _refuse(node, "it does more than to take the value of the operator before it")


def _check_flatten(node: Node, rank: int) -> None:
    axis = int(node.attributes.get("axis", 1))
    if (axis + rank if axis < 0 else axis) != 1:
        _refuse(node, "it keeps another axis than the samples")


def _gemm(node: Node, constants: Mapping[str, np.ndarray]) -> Layer:
    """alpha and beta go into the weights, where they are rounded once more if they are not 1."""
    if node.attributes.get("transA", 0):
        _refuse(node, "it transposes samples and features")
    weight = _matrix(node, constants)
    if node.attributes.get("transB", 0):
        weight = weight.T
    layer = Layer(Kind.DENSE, _scaled(weight, float(node.attributes.get("alpha", 1.0))))
    if len(node.inputs) < 3 or not node.inputs[2]:
        return layer
    bias = _vector(node, node.inputs[2], weight.shape[1], constants)
    return layer._replace(bias=_scaled(bias, float(node.attributes.get("beta", 1.0))))


def _with_bias(layer: Layer, node: Node, constants: Mapping[str, np.ndarray]) -> Layer:
    assert layer.weight is not None
    name = next(name for name in node.inputs if name in constants)
    bias = _vector(node, name, layer.weight.shape[1], constants)
    return layer._replace(bias=bias if layer.bias is None else layer.bias + bias)


def _matrix(node: Node, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(node.inputs) < 2 or node.inputs[1] not in constants:
        _refuse(node, "its second factor is no constant")
    weight = constants[node.inputs[1]]
    if weight.ndim != 2:
        _refuse(node, f"its weights have {weight.ndim} axes")
    return _narrow(node, weight)


def _vector(node: Node, name: str, width: int, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    """One number per feature, where ONNX lets a constant be repeated along samples and features."""
    if name not in constants:
        _refuse(node, "what it adds is no constant")
    bias = _narrow(node, constants[name])
    if bias.ndim > 2 or (bias.ndim == 2 and bias.shape[0] != 1) or (bias.ndim and bias.shape[-1] not in (1, width)):
        _refuse(node, f"what it adds is of shape {bias.shape}, not a number per feature")
    return np.array(np.broadcast_to(bias.reshape(-1), (width,)))


def _narrow(node: Node, array: np.ndarray) -> np.ndarray:
    if array.dtype != FLOAT:
        _refuse(node, f"its weights are {array.dtype.name}, not float32")
    return array


def _scaled(array: np.ndarray, factor: float) -> np.ndarray:
    return array if factor == 1.0 else (array.astype(np.float64) * factor).astype(FLOAT)


def _refuse(node: Node, why: str) -> NoReturn:
    reason = f" here: {why}" if why else ""
    raise Unsupported(f"operator {node.op} is not part of a plain chain of dense layers{reason} (what is: {FITS})")


def save(path: str, chain: Chain) -> None:
    """One .npz, whatever it is called: `about` says the order, `weight<i>` and `bias<i>` belong to layer i."""
    arrays = {f"{name}{index}": array for index, layer in enumerate(chain.layers)
              for name, array in (("weight", layer.weight), ("bias", layer.bias)) if array is not None}
    about = {"input": chain.input, "output": chain.output, "rank": chain.rank, "layers": [one.kind.value for one in chain.layers]}
    with open(path, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


def load(path: str) -> Chain:
    """What `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        about = json.loads(str(archive["about"]))
        layers = [Layer(Kind(kind), *(np.ascontiguousarray(archive[key]) if key in archive.files else None
                                      for key in (f"weight{index}", f"bias{index}")))
                  for index, kind in enumerate(about["layers"])]
    return Chain(about["input"], about["output"], int(about["rank"]), tuple(layers))
