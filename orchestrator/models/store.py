"""The folders of prepared models: written whole or not at all, checked whenever they are used again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import psutil

from orchestrator.errors import ResultError
from orchestrator.model import LabelledSet, PreparedModel, TensorSpec, digest
from orchestrator.models.filehash import FileHashes

MANIFEST = "model.json"
INPUTS = "inputs.npz"
REFERENCE = "reference.npz"
SCHEMA_NAME = "infermatrix.model/1"
_HASHES = "hashes.json"
_TEMPORARY = ".new-"

_TENSORS: dict[str, Any] = {"type": "array", "maxItems": 4096, "items": {
    "type": "object", "required": ["name", "dtype", "shape"], "additionalProperties": False, "properties": {
        "name": {"type": "string", "maxLength": 4096}, "dtype": {"type": "string", "maxLength": 64},
        "shape": {"type": "array", "maxItems": 64, "items": {"type": ["integer", "string"], "maxLength": 4096}}}}}
DESCRIPTION: dict[str, Any] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200}, "inputs": _TENSORS, "outputs": _TENSORS,
    "batchable": {"type": "boolean"}, "samples": {"type": "integer", "minimum": 1, "maximum": 100000},
    "reference_source": {"type": "string", "maxLength": 200},
    "formats": {"type": "object", "required": ["onnx"], "maxProperties": 16,
                "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1024}},
    "tolerance": {"type": "object", "maxProperties": 8,
                  "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}},
    "labelled": {
        "type": ["object", "null"], "required": ["inputs", "labels", "metric", "rows"], "additionalProperties": False,
        "properties": {"inputs": {"const": "labelled.npz"}, "labels": {"const": "labels.npz"}, "metric": {"enum": ["top1"]},
                       "rows": {"type": "integer", "minimum": 1, "maximum": 10_000_000}}},
    "parameters": {"type": "integer", "minimum": 0},
    "notes": {"type": "array", "maxItems": 200, "items": {"type": "string", "maxLength": 4000}},
}
"""What an exporter and this program both say about a model."""
_SCHEMA: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "properties": {
        **DESCRIPTION, "schema": {"const": SCHEMA_NAME}, "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "incomparable": {"type": ["string", "null"], "maxLength": 200},
        "fixed_batch": {"type": "integer", "minimum": 1}, "opsets": {"type": "object"}, "operators": {"type": "object"},
        "files": {"type": "object", "additionalProperties": {
            "type": "object", "required": ["size", "sha256"], "additionalProperties": False,
            "properties": {"size": {"type": "integer"}, "sha256": {"type": "string"}}}}},
}
_SCHEMA["required"] = sorted(set(_SCHEMA["properties"]) - {"incomparable", "labelled"})  # unknown when older models were prepared


def hashes_of(cache_dir: Path) -> FileHashes:
    """The hashes remembered in one cache."""
    return FileHashes(cache_dir / _HASHES)


@contextmanager
def new_folder(cache_dir: Path, key: str) -> Iterator[Path]:
    """A scratch folder that becomes `cache_dir/key` if the block ends well, and vanishes if not."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    _sweep(cache_dir)
    temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=cache_dir))
    try:
        yield temporary
        temporary.chmod(0o755)
        target = cache_dir / key
        if target.exists():  # damaged, or another process was faster with the same content
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(folder: Path, prepared: PreparedModel, hashes: FileHashes, *, parameters: int,
                   opsets: Mapping[str, int], operators: Mapping[str, int]) -> None:
    """`model.json` with the size and hash of every other file in the folder."""
    files = {path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": hashes.sha256(path)}
             for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST}
    plain = asdict(prepared)
    del plain["folder"], plain["tolerances"]  # a run's own, no property of the model
    labelled = prepared.labelled
    plain["labelled"] = None if labelled is None else {
        "inputs": labelled.inputs.name, "labels": labelled.labels.name, "metric": labelled.metric, "rows": labelled.rows}
    plain |= {"schema": SCHEMA_NAME, "parameters": parameters, "opsets": dict(opsets), "operators": dict(operators),
              "files": files, "notes": list(prepared.notes)}
    (folder / MANIFEST).write_text(json.dumps(plain, indent=1, sort_keys=True))


def model_sha256(folder: Path, onnx: str, external: tuple[str, ...], hashes: FileHashes) -> str:
    """One digest of the ONNX file with its external data: the file's own where it has none."""
    own = hashes.sha256(folder / onnx)
    base = (folder / onnx).parent
    return digest([own, {name: hashes.sha256(base / name) for name in external}]) if external else own


def load_prepared(folder: Path) -> PreparedModel:
    """A prepared model as it was stored.

    Raises:
        ResultError: the folder is incomplete, was changed since, or is of another version.
    """
    manifest = folder / MANIFEST
    hint = "delete the folder; the model will be prepared again"
    try:
        plain = json.loads(manifest.read_text())
        jsonschema.validate(plain, _SCHEMA)
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{manifest} cannot be read: {str(error).splitlines()[0]}", hint=hint) from error
    except jsonschema.ValidationError as error:
        raise ResultError(f"{manifest}: {error.message[:200]}", hint=hint) from error
    hashes = hashes_of(folder.parent)
    for name, expected in plain["files"].items():
        path = folder / safe_relative(name)
        if not path.is_file() or path.stat().st_size != expected["size"] or hashes.sha256(path) != expected["sha256"]:
            raise ResultError(f"{path} is missing or was changed since it was prepared", hint=hint)
    if not {INPUTS, REFERENCE, *plain["formats"].values()} <= set(plain["files"]):
        raise ResultError(f"{manifest} does not list all files of the model", hint=hint)
    return PreparedModel(
        name=plain["name"], folder=folder, sha256=plain["sha256"], inputs=_specs(plain["inputs"]),
        outputs=_specs(plain["outputs"]), batchable=plain["batchable"], fixed_batch=plain["fixed_batch"],
        formats=plain["formats"], samples=plain["samples"], reference_source=plain["reference_source"],
        tolerance=plain["tolerance"], notes=tuple(plain["notes"]), labelled=_labelled(folder, plain),
        incomparable=plain.get("incomparable"))


def _labelled(folder: Path, plain: Mapping[str, Any]) -> LabelledSet | None:
    about, files = plain.get("labelled"), plain["files"]
    if about is None:
        return None
    if not {about["inputs"], about["labels"]} <= set(files):
        raise ResultError(f"{folder / MANIFEST} does not list its labelled data set",
                          hint="delete the folder; the model will be prepared again")
    return LabelledSet(
        inputs=folder / about["inputs"], labels=folder / about["labels"], rows=about["rows"], metric=about["metric"],
        output=plain["outputs"][0]["name"], sha256=digest([files[about[key]]["sha256"] for key in ("inputs", "labels")]))


def safe_relative(name: str) -> str:
    """`name` if it is a plain path below the folder it is relative to.

    Raises:
        ResultError: it is absolute or climbs out.
    """
    pure = PurePosixPath(name)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise ResultError(f"{name!r} is not a path inside the model's folder", hint="the model's folder is damaged")
    return pure.as_posix()


def _specs(plain: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=s["name"], dtype=s["dtype"], shape=tuple(s["shape"])) for s in plain)


def _sweep(cache_dir: Path) -> None:
    """Removes what processes that no longer exist left behind."""
    for path in cache_dir.glob(f"{_TEMPORARY}*"):
        owner = path.name[len(_TEMPORARY):].split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(path, ignore_errors=True)
