"""ONNX → `model.dense`; runs in the converter's environment (onnx and numpy)."""
from __future__ import annotations

import os
from typing import Any, Dict, Mapping

import numpy as np

from .base import ConvertParams, Unsupported
from .dense_chain import FITS, FLOAT, Graph, Node, read_chain, save

FILE = "model.dense"


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the file below `out_dir`.

    Raises:
        Unsupported: a model that is no plain chain of dense layers, or not of float32.
    """
    import onnx

    if params.precision != "fp32":
        raise Unsupported(f"the weights stay as the file has them, in float32: there is no conversion to {params.precision}")
    save(os.path.join(out_dir, FILE), read_chain(graph_of(onnx.load(path))))
    return FILE


def graph_of(model: Any) -> Graph:
    """The model's graph without ONNX's own types. Raises Unsupported where it has not one input and one output of float32."""
    import onnx

    graph = model.graph
    constants: Dict[str, np.ndarray] = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    fed = [tensor for tensor in graph.input if tensor.name not in constants]
    nodes = []
    for node in graph.node:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
            continue
        op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
        nodes.append(Node(op, tuple(node.input), tuple(node.output), attributes))
    if len(fed) != 1 or len(graph.output) != 1:
        # The operator at fault says more than the count of inputs, where there is one.
        first = next((node.op for node in nodes if node.op not in FITS.split(", ") or _joins(node, constants)), "")
        at_fault = f"operator {first} is not part of one, and " if first else ""
        raise Unsupported(f"a plain chain of dense layers has one input and one output; {at_fault}"
                          f"this model has {len(fed)} and {len(graph.output)}")
    for tensor in (fed[0], graph.output[0]):
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type))
        if dtype != FLOAT:
            raise Unsupported(f"{tensor.name} is {dtype.name}, and a chain of dense layers is rebuilt in float32 only")
    shape = fed[0].type.tensor_type
    if not shape.HasField("shape"):
        raise Unsupported(f"the file does not say how many axes its input {fed[0].name} has")
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)
    return Graph(fed[0].name, len(shape.shape.dim), graph.output[0].name, nodes, constants, opset)


def _joins(node: Node, constants: Mapping[str, np.ndarray]) -> bool:
    return len([name for name in node.inputs if name and name not in constants]) > 1
