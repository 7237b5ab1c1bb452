"""Rewrites a model so that everything it computes in floating point is computed in float64.

The ONNX reference evaluator computes in the types the graph names, so a reference better than any backend's own
float32 needs initializers, constants and every type named in an attribute to become double.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from orchestrator.models.graphs import all_graphs, all_nodes, attribute_tensors

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_datatype", "output_dtype", "stash_type", "precision",
                              "softmax_precision"})
_FLOAT_BY_DEFAULT = {  # operators whose result is float32 unless an attribute says otherwise
    "RandomNormal": "dtype", "RandomUniform": "dtype", "HannWindow": "output_datatype",
    "HammingWindow": "output_datatype", "BlackmanWindow": "output_datatype", "MelWeightMatrix": "output_datatype",
}


def promote(model: ModelProto) -> None:
    """Changes `model` in place; tensors with external data must have been loaded."""
    for graph in all_graphs(model):
        for tensor in graph.initializer:
            _promote_tensor(tensor)
        for sparse in graph.sparse_initializer:
            _promote_tensor(sparse.values)
        del graph.value_info[:]
        _promote_types((*graph.input, *graph.output))
    for node in all_nodes(model):
        _promote_node(node)


def _promote_node(node: Any) -> None:
    if node.op_type == "Constant":
        _promote_constant(node)
    for tensor in attribute_tensors(node):
        _promote_tensor(tensor)
    for attribute in node.attribute:
        if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _FLOATS:
            attribute.i = TensorProto.DOUBLE
    names = {attribute.name for attribute in node.attribute}
    if node.op_type == "ConstantOfShape" and "value" not in names:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float64))))
    default = _FLOAT_BY_DEFAULT.get(node.op_type)
    if default and default not in names:
        node.attribute.append(helper.make_attribute(default, TensorProto.DOUBLE))


def _promote_constant(node: Any) -> None:
    """`value_float(s)` can only be float32: they become a tensor."""
    for attribute in list(node.attribute):
        if attribute.name in ("value_float", "value_floats"):
            values = np.array(attribute.f if attribute.name == "value_float" else list(attribute.floats), np.float64)
            node.attribute.remove(attribute)
            node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(values)))


def _promote_tensor(tensor: TensorProto) -> None:
    if tensor.data_type not in _FLOATS:
        return
    values = numpy_helper.to_array(tensor).astype(np.float64)
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def _promote_types(values: Iterable[Any]) -> None:
    for value in values:
        kind = value.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = getattr(kind, kind.WhichOneof("value")).elem_type
        if kind.WhichOneof("value") == "tensor_type" and kind.tensor_type.elem_type in _FLOATS:
            kind.tensor_type.elem_type = TensorProto.DOUBLE
