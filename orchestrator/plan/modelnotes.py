"""What inspecting model files tells before anything runs: defaults that were taken, and batches that cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from orchestrator.config.entries import ModelEntry
from orchestrator.models.onnxfile import OnnxFile, inspect

_PROBE = 7919  # a prime that no model has as a size by chance


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """One model file: the batch it is restricted to (None: any), and what a reader of the plan should know."""

    name: str
    fixed_batch: int | None
    notes: tuple[str, ...]


def inspect_models(entries: Iterable[ModelEntry]) -> tuple[Inspected, ...]:
    """Each model that is a file, without running it. Raises ModelError for a file that cannot be used."""
    return tuple(
        _inspected(entry.name, inspect(entry.path, entry.shapes, ranks_later=entry.inputs is not None))
        for entry in entries if entry.path is not None
    )


def _inspected(name: str, file: OnnxFile) -> Inspected:
    why = file.dims.no_batch or row_count_fixed(file)
    batch = file.dims.fixed_batch if why else None
    notes = list(file.notes)
    if why:
        notes.append(f"every inference is a batch of {batch}, in every scenario, whatever `batch` says: {why}")
    else:
        notes.append("its first dimension is free, so it is planned as the batch; a run tries that first, and plans with "
                     f"batches of {file.dims.fixed_batch} only if it is none")
    if file.custom_operators:
        notes.append(f"no backend is likely to run its custom operators: {', '.join(file.custom_operators[:8])}")
    return Inspected(name=name, fixed_batch=batch, notes=tuple(f"{name}: {note}" for note in notes))


def row_count_fixed(file: OnnxFile) -> str | None:
    """Why a free first dimension can be no batch: an output keeps its size whatever the inputs' is (a Reshape to [1, 48]).

    By ONNX's own shape inference; None where that shows nothing, which is no proof: running the model is.
    """
    model = onnx.ModelProto()
    model.CopyFrom(file.skeleton)
    names = {spec.name for spec in file.inputs}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in names and dims:
            for axis, size in enumerate(file.dims.shapes[value.name]):
                dims[axis].dim_value = size
            dims[0].dim_value = _PROBE
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001 - inference raises anything on graphs it does not understand, and then shows nothing
        return None
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        first = dims[0].dim_value if dims and dims[0].HasField("dim_value") else _PROBE
        if first != _PROBE:
            return f"output {value.name!r} has {first} row{'' if first == 1 else 's'} however many the input has"
    return None
