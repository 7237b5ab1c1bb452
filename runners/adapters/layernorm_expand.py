"""Writes ONNX's LayerNormalization (opset 17) as the older operators that its own specification defines it by.

For importers that do not know the operator. Plain ONNX in, plain ONNX out: nothing here belongs to one backend.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

KIND = "LayerNormalization"
AXES_AS_INPUT = 18  # the opset in which ReduceMean's axes went from attribute to input


def expand(model: Any) -> int:
    """Replaces, in place, every LayerNormalization of the main graph that computes in float32; returns how many.

    Left as they are, for the importer to name: those in subgraphs, those of another type, and those whose `axis` counts from
    the front where shape inference does not tell the rank.
    """
    graph = model.graph
    if not any(_is_one(node) for node in graph.node):
        return 0
    opset = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] or [1])
    tensors = _tensors(model)
    nodes: List[Any] = []
    count = 0
    for node in graph.node:
        made = _written_out(node, graph, tensors, f"layernorm_expand_{count}", opset) if _is_one(node) else None
        nodes.extend([node] if made is None else made)
        count += made is not None
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # what `del` frees must not be pointed at
    del graph.node[:]
    graph.node.extend(kept)
    return count


def _is_one(node: Any) -> bool:
    return bool(node.op_type == KIND and node.domain in ("", "ai.onnx"))


def _tensors(model: Any) -> Dict[str, Any]:
    """What shape inference says of each name: its TypeProto.Tensor."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}


def _axes(axis: int, tensor: Any) -> Optional[List[int]]:
    """From `axis` to the last, counted from the end."""
    if axis >= 0:
        if not tensor.HasField("shape"):
            return None
        axis -= len(tensor.shape.dim)
    return list(range(axis, 0)) or None


def _written_out(node: Any, graph: Any, tensors: Dict[str, Any], prefix: str, opset: int) -> Optional[List[Any]]:
    """ONNX's own function body: (X - mean) / sqrt(mean((X - mean)²) + epsilon) × Scale + B. None where it stays."""
    import onnx

    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    tensor = tensors.get(node.input[0])
    if tensor is None or tensor.elem_type != onnx.TensorProto.FLOAT:
        return None
    axes = _axes(int(attributes.get("axis", -1)), tensor)
    if axes is None:
        return None

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(value, f"{prefix}/{name}"))
        return f"{prefix}/{name}"

    made: List[Any] = []

    def put(kind: str, inputs: List[str], name: str, **more: Any) -> str:
        made.append(onnx.helper.make_node(kind, inputs, [name], name=f"{prefix}/{kind}_{len(made)}", **more))
        return name

    def mean(of: str, name: str) -> str:
        if opset >= AXES_AS_INPUT:
            return put("ReduceMean", [of, constant(f"axes_{len(made)}", np.array(axes, np.int64))], name, keepdims=1)
        return put("ReduceMean", [of], name, axes=axes, keepdims=1)

    def output(index: int, otherwise: str) -> str:
        named = node.output[index] if len(node.output) > index else ""
        return named or f"{prefix}/{otherwise}"

    epsilon = constant("epsilon", np.array([attributes.get("epsilon", 1e-5)], np.float32))
    centred = put("Sub", [node.input[0], mean(node.input[0], output(1, "mean"))], f"{prefix}/centred")
    variance = mean(put("Mul", [centred, centred], f"{prefix}/squared"), f"{prefix}/variance")
    deviation = put("Sqrt", [put("Add", [variance, epsilon], f"{prefix}/not_zero")], f"{prefix}/deviation")
    if len(node.output) > 2 and node.output[2]:
        put("Reciprocal", [deviation], output(2, "inverse"))
    biased = len(node.input) > 2 and bool(node.input[2])
    normal = put("Div", [centred, deviation], f"{prefix}/normal")
    scaled = put("Mul", [normal, node.input[1]], f"{prefix}/scaled" if biased else node.output[0])
    if biased:
        put("Add", [scaled, node.input[2]], node.output[0])
    return made
