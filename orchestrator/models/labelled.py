"""Labelled data sets: inputs with their right answers, on which a cell's accuracy is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import ModelError
from orchestrator.model import LabelledSet, PreparedModel, TensorSpec
from orchestrator.models.npzfile import read_npz, write_npz
from orchestrator.models.store import INPUTS, new_folder

Array = npt.NDArray[Any]
MAX_BYTES = 8 * 1024**3
KEY = "labels"  # of the one array in the file of labels
INPUTS_FILE, LABELS_FILE = "labelled.npz", "labels.npz"


def attach(
    model: PreparedModel, *, inputs: Path, labels: Path | str, metric: str, output: str | None, cache_dir: Path
) -> LabelledSet:
    """The user's own data set, checked against the model and kept by content below `cache_dir`.

    `labels`: a file that holds one array, or the name of an array in the file `inputs`.

    Raises:
        ModelError: the files cannot be read, or do not fit the model or each other.
    """
    arrays = _read(inputs)
    if isinstance(labels, Path):
        right = _only(_read(labels), labels)
    else:
        if labels not in arrays:
            raise ModelError(f"{inputs} holds no array {labels!r}", hint=f"it holds: {', '.join(map(repr, arrays))}")
        right = arrays.pop(labels)
    names = [tensor.name for tensor in model.inputs]
    if len(names) == 1 and list(arrays) == [""]:  # an .npy has no names
        arrays = {names[0]: arrays[""]}
    rows = {name: arrays[name] for name in names if name in arrays}
    problem = mismatch(rows, right, model.inputs, read_npz(model.folder / INPUTS, max_bytes=MAX_BYTES))
    if problem is not None:
        raise ModelError(f"the labelled data set {inputs} does not fit {model.name}: {problem}")
    outputs = [tensor.name for tensor in model.outputs]
    if output is not None and output not in outputs:
        raise ModelError(f"{model.name} has no output {output!r} to count accuracy on", hint=f"its outputs: {', '.join(outputs)}")
    key = _digest(rows, right)
    folder = cache_dir / key
    if not (folder / LABELS_FILE).is_file():
        with new_folder(cache_dir, key) as fresh:
            write_npz(fresh / INPUTS_FILE, rows)
            write_npz(fresh / LABELS_FILE, {KEY: right.astype(np.int64)})
    return LabelledSet(
        inputs=folder / INPUTS_FILE, labels=folder / LABELS_FILE, rows=len(right), metric=metric, output=output or outputs[0],
        sha256=key,
    )


def mismatch(
    rows: Mapping[str, Array], labels: Array, inputs: tuple[TensorSpec, ...], samples: Mapping[str, Array]
) -> str | None:
    """Why the data set cannot be used, in words; None if it can. `samples`: inputs.npz, whose shapes it must have."""
    if labels.dtype.kind not in "iu" or labels.ndim == 0 or len(labels) == 0:
        return f"labels must be whole numbers, one per row, not {labels.dtype} of shape {list(labels.shape)}"
    if labels.min() < 0 or labels.max() >= 2**31:
        return "labels must be numbers of classes, from 0"
    for spec in inputs:
        if spec.name not in rows:
            return f"it lacks the input {spec.name!r}"
        array, sample = rows[spec.name], samples[spec.name]
        if array.dtype != sample.dtype:
            return f"{spec.name!r} has type {array.dtype}, the model takes {sample.dtype}"
        if array.shape[1:] != sample.shape[1:]:
            shapes = list(array.shape[1:]), list(sample.shape[1:])
            return f"a row of {spec.name!r} has shape {shapes[0]}, the model is measured with {shapes[1]}"
        if len(array) != len(labels):
            return f"{spec.name!r} has {len(array)} rows and there are {len(labels)} labels"
    return None


def _read(path: Path) -> dict[str, Array]:
    try:
        if path.suffix == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        return read_npz(path, max_bytes=MAX_BYTES)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be used as a labelled data set: {error}",
                         hint="write it with numpy.savez, without objects") from error


def _only(arrays: Mapping[str, Array], path: Path) -> Array:
    if KEY in arrays:
        return arrays[KEY]
    if len(arrays) != 1:
        raise ModelError(f"{path} holds {len(arrays)} arrays, none of them called {KEY!r}",
                         hint="give a file with one array of labels")
    return next(iter(arrays.values()))


def _digest(rows: Mapping[str, Array], labels: Array) -> str:
    total = hashlib.sha256()
    for name, array in (*sorted(rows.items()), (KEY, labels.astype(np.int64))):
        total.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:32]
