"""The model file as it is stored: free dimensions other than the batch fixed, so that all backends see one shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx import ModelProto

from orchestrator.models.graphs import all_graphs
from orchestrator.models.onnxfile import OnnxFile
from orchestrator.models.onnxload import read_model


def specialised(file: OnnxFile) -> bytes | None:
    """The model with its chosen dimensions, or None where there is nothing to change.

    External data stays where it is: tensors keep pointing to it by the same relative names.
    """
    if not _something_free(file):
        return None
    model = read_model(file.path)
    _fix(model, file)
    return bytes(model.SerializeToString())


def _something_free(file: OnnxFile) -> bool:
    first = 1 if file.dims.batchable else 0
    declared = {spec.name: spec.shape for spec in file.inputs}
    return any(isinstance(dim, str) for shape in declared.values() for dim in shape[first:])


def _fix(model: ModelProto, file: OnnxFile) -> None:
    for value in model.graph.input:
        if value.name in file.dims.shapes:
            _fix_input(value, file.dims.shapes[value.name], keep_first=file.dims.batchable)
    bound = dict(file.dims.bound)
    _substitute(model.graph.output, bound)
    for graph in all_graphs(model):
        _substitute(graph.value_info, bound)


def _fix_input(value: Any, sizes: tuple[int, ...], *, keep_first: bool) -> None:
    shape = value.type.tensor_type.shape
    shape.SetInParent()  # a scalar, or an input without a declared shape
    while len(shape.dim) < len(sizes):
        shape.dim.add()
    for axis, (dim, size) in enumerate(zip(shape.dim, sizes, strict=True)):
        if not (keep_first and axis == 0):
            dim.dim_value = size


def _substitute(values: Iterable[Any], bound: dict[str, int]) -> None:
    """Symbols are shared by the whole graph: an output's `seq` is the input's `seq`."""
    for value in values:
        if value.type.WhichOneof("value") != "tensor_type":
            continue
        for dim in value.type.tensor_type.shape.dim:
            if dim.WhichOneof("value") == "dim_param" and dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param]
