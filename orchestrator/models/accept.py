"""Checks what an export brought back before any of it is believed: files, sizes, types, values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt

from orchestrator.errors import ModelError, ResultError
from orchestrator.fidelity import DEFAULT_TOLERANCE
from orchestrator.model import LabelledSet, PreparedModel, TensorSpec, digest
from orchestrator.models.agreement import variation
from orchestrator.models.elements import FLOATS, numpy_type
from orchestrator.models.filehash import FileHashes
from orchestrator.models.labelled import KEY, mismatch
from orchestrator.models.npzfile import read_npz
from orchestrator.models.onnxfile import OnnxFile, inspect
from orchestrator.models.store import DESCRIPTION, INPUTS, MANIFEST, REFERENCE, model_sha256, safe_relative

Array = npt.NDArray[Any]
_MAX_DESCRIPTION_BYTES = 1024**2
_MAX_ARRAY_BYTES = 2 * 1024**3
_MAX_FILE_BYTES = 16 * 1024**3
_LEAST_VARIATION = 1e-3
_HINT = "this is a fault of the exporter; run it again, and report it if it stays"
_SCHEMA: dict[str, Any] = {
    "type": "object", "properties": DESCRIPTION, "additionalProperties": False,
    "required": sorted(set(DESCRIPTION) - {"labelled", "notes", "tolerance"})}


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An export that passed, in the folder it was moved to."""

    prepared: PreparedModel
    file: OnnxFile
    parameters: int


def accept_export(artifact: Path, folder: Path, name: str, hashes: FileHashes) -> Accepted:
    """Moves the files that the export's `model.json` names into `folder`, having checked them.

    Raises:
        ModelError: a file is missing, a link or too large, or files contradict each other.
    """
    about = _description(artifact, name)
    try:
        formats = {key: safe_relative(value) for key, value in about["formats"].items()}
    except ResultError as error:
        raise _bad(name, error.message) from error
    if {*formats.values()} & {INPUTS, REFERENCE, MANIFEST}:
        raise _bad(name, "a format has the name of another file")
    model = _plain_file(artifact, formats["onnx"], name)
    file = inspect(model)
    beside = Path(formats["onnx"]).parent
    data = about.get("labelled")
    labelled = (data["inputs"], data["labels"]) if data else ()
    if {*formats.values()} & {*labelled}:
        raise _bad(name, "a format has the name of another file")
    for relative in sorted({*formats.values(), INPUTS, REFERENCE, *labelled, *((beside / e).as_posix() for e in file.external)}):
        source = _plain_file(artifact, relative, name)
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, folder / relative)
    inputs, reference = _arrays(folder / INPUTS, name), _arrays(folder / REFERENCE, name)
    _check(name, about, file, inputs, reference)
    if data:
        problem = mismatch(_arrays(folder / data["inputs"], name), _labels(folder / data["labels"], data["rows"], name),
                           file.inputs, inputs)
        if problem:
            raise _bad(name, f"its labelled data set: {problem}")
    symbols = {spec.name: spec for spec in (*file.inputs, *file.outputs)}
    prepared = PreparedModel(
        name=name, folder=folder, sha256=model_sha256(folder, formats["onnx"], file.external, hashes),
        inputs=file.inputs, outputs=tuple(_sized(symbols[o.name], reference[o.name], batchable=about["batchable"])
                                          for o in file.outputs),
        batchable=about["batchable"], fixed_batch=1 if about["batchable"] else file.dims.fixed_batch, formats=formats,
        samples=about["samples"], reference_source=about["reference_source"],
        tolerance={**DEFAULT_TOLERANCE, **about.get("tolerance", {})}, notes=tuple(about.get("notes", ())),
        labelled=_set_of(folder, data, file.outputs[0].name, hashes) if data else None)
    return Accepted(prepared=prepared, file=file, parameters=about["parameters"])


def _description(artifact: Path, name: str) -> dict[str, Any]:
    path = _plain_file(artifact, MANIFEST, name)
    if path.stat().st_size > _MAX_DESCRIPTION_BYTES:
        raise _bad(name, f"{MANIFEST} is larger than 1 MB")
    try:
        about = json.loads(path.read_text("utf-8"))
        jsonschema.validate(about, _SCHEMA)
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"{MANIFEST} is not JSON") from error
    except jsonschema.ValidationError as error:
        raise _bad(name, f"{MANIFEST}: {error.json_path}: {error.message[:200]}") from error
    if about["name"] != name:
        raise _bad(name, f"it calls itself {about['name']!r}")
    return dict(about)


def _check(name: str, about: Mapping[str, Any], file: OnnxFile, inputs: Mapping[str, Array],
           reference: Mapping[str, Array]) -> None:
    """The ONNX file is what counts; description and arrays have to agree with it."""
    if about["batchable"] and not file.dims.batchable:
        raise _bad(name, "its batch is said to be free, but the ONNX file fixes it")
    for what, declared, arrays in (("inputs", file.inputs, inputs), ("outputs", file.outputs, reference)):
        said = {tensor["name"]: tensor["dtype"] for tensor in about[what]}
        if said != {spec.name: spec.dtype for spec in declared}:
            raise _bad(name, f"its {what} are described as {said}, the ONNX file has "
                             f"{ {spec.name: spec.dtype for spec in declared} }")
        _check_arrays(name, declared, arrays, samples=about["samples"], batchable=about["batchable"],
                      exact=what == "inputs")
    for output, rows in reference.items():
        if not np.isfinite(rows).all():
            raise _bad(name, f"its reference for {output!r} holds NaN or infinity")
    if len(next(iter(reference.values()))) > 1 and max(map(variation, reference.values())) < _LEAST_VARIATION:
        raise _bad(name, "its outputs do not depend on its input, so nothing could be compared")


def _check_arrays(name: str, declared: Sequence[TensorSpec], arrays: Mapping[str, Array], *, samples: int,
                  batchable: bool, exact: bool) -> None:
    if set(arrays) != {spec.name for spec in declared}:
        raise _bad(name, f"arrays {sorted(arrays)} do not match the model's {sorted(s.name for s in declared)}")
    for spec in declared:
        array = arrays[spec.name]
        # A reference may be wider than the model's own type, an input may not.
        fits = array.dtype == numpy_type(spec.dtype) if exact or spec.dtype not in FLOATS else array.dtype.kind == "f"
        if not fits:
            raise _bad(name, f"the array for {spec.name!r} has type {array.dtype}, the model {spec.dtype}")
        wanted = spec.shape[1:] if batchable else spec.shape
        if len(array.shape) != len(wanted) + 1 or len(array) != samples or any(
                isinstance(dim, int) and dim != size for dim, size in zip(wanted, array.shape[1:], strict=True)):
            raise _bad(name, f"the array for {spec.name!r} has shape {list(array.shape)}, the model {list(spec.shape)} "
                             f"with {samples} samples")


def _arrays(path: Path, name: str) -> dict[str, Array]:
    try:
        return read_npz(path, max_bytes=_MAX_ARRAY_BYTES)
    except ValueError as error:
        raise _bad(name, f"{path.name}: {error}") from error


def _labels(path: Path, rows: int, name: str) -> Array:
    arrays = _arrays(path, name)
    if set(arrays) != {KEY} or len(arrays[KEY].shape) == 0 or len(arrays[KEY]) != rows:
        raise _bad(name, f"{path.name} does not hold {rows} labels")
    return arrays[KEY]


def _plain_file(base: Path, relative: str, name: str) -> Path:
    path = base / relative
    steps = [base, *(base / parent for parent in Path(relative).parents), path]
    if any(step.is_symlink() for step in steps) or not path.is_file():
        raise _bad(name, f"{relative} is missing or not a plain file")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise _bad(name, f"{relative} is larger than {_MAX_FILE_BYTES // 1024**3} GB")
    return path


def _sized(spec: TensorSpec, rows: Array, *, batchable: bool) -> TensorSpec:
    shape: tuple[int | str, ...] = (spec.shape[0], *rows.shape[1:]) if batchable else rows.shape[1:]
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=shape)


def _set_of(folder: Path, data: Mapping[str, Any], output: str, hashes: FileHashes) -> LabelledSet:
    inputs, labels = folder / data["inputs"], folder / data["labels"]
    return LabelledSet(inputs=inputs, labels=labels, rows=data["rows"], metric=data["metric"], output=output,
                       sha256=digest([hashes.sha256(inputs), hashes.sha256(labels)]))


def _bad(name: str, what: str) -> ModelError:
    return ModelError(f"the export of {name} cannot be used: {what}", hint=_HINT)
