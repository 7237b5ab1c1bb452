"""Walking everything an ONNX model holds: subgraphs of If/Loop/Scan, local functions, tensors in attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnx import AttributeProto, ModelProto, TensorProto

_LARGE_BYTES = 4096


def nodes_below(nodes: Any) -> Iterator[Any]:
    """Every node, those of subgraphs included, outer ones first."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from nodes_below(graph.node)


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs held by the attributes of one node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def all_nodes(model: ModelProto) -> Iterator[Any]:
    """Every node of the graph, its subgraphs and the model's functions."""
    yield from nodes_below(model.graph.node)
    for function in model.functions:
        yield from nodes_below(function.node)


def all_graphs(model: ModelProto) -> Iterator[Any]:
    """The main graph and every subgraph, functions' included."""
    yield model.graph
    for node in all_nodes(model):
        yield from subgraphs(node)


def attribute_tensors(node: Any) -> Iterator[TensorProto]:
    """Dense tensors in the attributes of one node (sparse ones as their values)."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        elif attribute.type == AttributeProto.TENSORS:
            yield from attribute.tensors
        elif attribute.type == AttributeProto.SPARSE_TENSOR:
            yield attribute.sparse_tensor.values
            yield attribute.sparse_tensor.indices


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Initializers and attribute tensors anywhere in the model."""
    for graph in all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in all_nodes(model):
        yield from attribute_tensors(node)


def element_count(tensor: Any) -> int:
    """Number of elements by the tensor's dims."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def drop_large_data(model: ModelProto) -> None:
    """Empties tensors of more than 4 KB in place: their dims are all that inspecting needs, and memory is short."""
    for tensor in all_tensors(model):
        size = max(len(tensor.raw_data), 4 * element_count(tensor))
        if size > _LARGE_BYTES or tensor.data_location == TensorProto.EXTERNAL:
            for field in ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data",
                          "string_data", "external_data", "data_location"):
                tensor.ClearField(field)
