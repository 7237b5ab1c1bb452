"""What ONNX's own shape inference says of a model's values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import onnx.checker
import onnx.inliner
import onnx.shape_inference
from onnx import ModelProto

from orchestrator.models.graphs import nodes_below, subgraphs


def inlined(model: ModelProto) -> ModelProto:
    """With the calls of the model's own functions replaced by their bodies, where that is possible."""
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError):
        return model  # the engine will say what is wrong with it


def inferred_shapes(model: ModelProto, given: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int | None, ...]]:
    """Shapes of all values that onnx can infer once the inputs' are fixed."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        if value.name in given:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for size in given[value.name]:
                shape.dim.add().dim_value = size
    # Where inference gives up, the inputs' own shapes remain.
    with suppress(RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        fixed = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    shapes: dict[str, tuple[int | None, ...]] = {}
    graphs = [fixed.graph, *(g for node in nodes_below(fixed.graph.node) for g in subgraphs(node))]
    for graph in graphs:
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape"):
                shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return shapes
