"""The ONNX file as onnx2torch takes it best: one opset, known shapes, constants where it would compute shapes."""
from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np

from .torch_shapes import constant_reshapes

OPSET = 17  # onnx2torch knows most operators up to here
BATCH = "batch"
_LARGE = 2 ** 31 - 2 ** 20  # protobuf's limit, with room for what is added


def prepared(path: str, samples: Dict[str, np.ndarray], *, batchable: bool, batch: Optional[int] = None) -> Any:
    """A ModelProto whose only free dimension is the batch, and that only if `batchable` and no `batch` is given.

    `samples` are inputs.npz: their shapes, less the sample axis, are the shapes that the model is measured with.
    """
    import onnx

    model = onnx.load(path)
    _pin_inputs(model, samples, batchable=batchable, batch=batch)
    if not is_large(model):  # these work on serialised models, which end at 2 GB
        model = _at_opset(_inlined(model))
        model = _slimmed(model)
        model = _slimmed(constant_reshapes(model))
    _distinct_outputs(model)
    return model


def is_large(model: Any) -> bool:
    """Whether the model with its weights is beyond what protobuf can write as one file."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _LARGE


def _pin_inputs(model: Any, samples: Dict[str, np.ndarray], *, batchable: bool, batch: Optional[int]) -> None:
    initial = {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.input:
        if tensor.name in initial or tensor.name not in samples:
            continue
        shape = tensor.type.tensor_type.shape
        del shape.dim[:]
        for index, size in enumerate(samples[tensor.name].shape[0 if batchable else 1:]):
            dim = shape.dim.add()
            if batchable and index == 0 and batch is None:
                dim.dim_param = BATCH
            elif batchable and index == 0:
                dim.dim_value = batch
            else:
                dim.dim_value = size


def _inlined(model: Any) -> Any:
    """Functions written out: the file's own, and operators newer than OPSET that ONNX defines by older ones (Gelu …)."""
    import onnx
    from onnx import inliner

    newer = {("", "CastLike")}  # what their definitions are made of, and itself one
    for node in model.graph.node:
        if node.domain in ("", "ai.onnx") and not _existed(node.op_type):
            newer.add((node.domain, node.op_type))
    try:
        model = inliner.inline_local_functions(model) if model.functions else model
        return inliner.inline_selected_functions(model, sorted(newer), inline_schema_functions=True)
    except (AttributeError, RuntimeError, TypeError, onnx.checker.ValidationError):
        return model


def _existed(operator: str) -> bool:
    import onnx

    try:
        onnx.defs.get_schema(operator, max_inclusive_version=OPSET, domain="")
    except onnx.defs.SchemaError:
        return False
    return True


def _at_opset(model: Any) -> Any:
    import onnx
    from onnx import version_converter

    current = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)
    if current == OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception:  # not every operator has a way down or up; the importer may still know it as it is
        return onnx.shape_inference.infer_shapes(model)


def _slimmed(model: Any) -> Any:
    """Folded and without Identity nodes: the exporter shares equal initializers through them, and importers trip."""
    import onnx
    import onnxslim

    before = onnx.ModelProto()
    before.CopyFrom(model)  # the simplifier works in place, and may stop half way
    try:
        return onnxslim.slim(model) or before
    except Exception:
        return before


def _distinct_outputs(model: Any) -> None:
    """Every graph output from a node of its own: onnx2torch returns one value per node, not per output."""
    import onnx

    for tensor in model.graph.output:
        inner = tensor.name + "/inner"
        for node in model.graph.node:
            for field in (node.input, node.output):
                for position, name in enumerate(field):
                    if name == tensor.name:
                        field[position] = inner
        produced = any(inner in node.output for node in model.graph.node)
        source = inner if produced else tensor.name
        if produced:
            model.graph.node.append(onnx.helper.make_node("Identity", [source], [tensor.name], name=tensor.name + "/identity"))
