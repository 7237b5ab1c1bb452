"""The orchestrator's side of the runner protocol: jobs out, results in. A result is untrusted until it passed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from orchestrator.model import BackendSpec, Cell, LabelledSet, PreparedModel, Profile, TrialSpec

JOB = "infermatrix.job/1"
RESULT = "infermatrix.result/1"
MAX_RESULT_BYTES = 32 << 20
MAX_DEPTH = 12
MAX_TEXT = 4_000
SAMPLES_KEY = "data"  # the only text that may be long: packed samples, bounded where they are decoded
MAX_SAMPLES_TEXT = 4 << 20
SCHEMAS = Path(__file__).parent / "schemas"


class BadResultError(Exception):
    """Why a result cannot be believed."""


def trial_job(
    spec: TrialSpec, *, trial: str, backend: BackendSpec, model: PreparedModel, artifact: Path | None, artifact_format: str,
    profile: Profile, seed: int, adapter_file: Path | None = None, accuracy: bool = False,
    members: Sequence[tuple[PreparedModel, Path | None, str]] = (),
) -> dict[str, Any]:
    """The job of one trial; Path values are placed by the isolation.

    `members`: of an ensemble, each model with its artifact and format; the others are then the first one's.
    `adapter_file`: a user's own adapter, where the isolation has not put it beside the others (an image has).
    `accuracy`: count it on the model's labelled data set too, if it has one.
    """
    labelled = model.labelled if accuracy else None
    first = spec.cells[0]
    path = artifact or model.folder / model.formats[artifact_format]
    return {
        "protocol": JOB, "task": "trial", "trial": trial, "adapter": backend.adapter, "settings": dict(first.settings),
        **({"adapter_file": str(adapter_file)} if adapter_file else {}),
        "precision": first.precision, "device": first.device, "threads": first.threads, "seed": seed,
        **({"instances": first.instances} if first.instances > 1 else {}),
        "model": {"name": model.name, "format": artifact_format, "path": path},
        **_data(model),
        **({"members": [_member(*one) for one in members]} if members else {}),
        "cache_dir": None, "probe": {"enabled": True},
        **({"accuracy": _accuracy_job(labelled)} if labelled else {}),
        "cells": [_cell_job(cell, profile) for cell in spec.cells],
    }


def _accuracy_job(labelled: LabelledSet) -> dict[str, Any]:
    return {
        "inputs": labelled.inputs, "labels": labelled.labels, "metric": labelled.metric, "output": labelled.output,
    }


def convert_job(
    *, by: str, settings: Mapping[str, Any], precision: str, model: PreparedModel, batch: int | None, trial: str,
    adapter_file: Path | None = None,
) -> dict[str, Any]:
    """The job that turns a model's ONNX file into the backend's format; `by`: whose adapter converts."""
    return {
        "protocol": JOB, "task": "convert", "trial": trial, "adapter": by, "settings": dict(settings),
        "precision": precision, "batch": batch, **({"adapter_file": str(adapter_file)} if adapter_file else {}),
        "model": {"name": model.name, "format": "onnx", "path": model.folder / model.formats["onnx"]},
        **_data(model),
    }


def export_job(*, name: str, seed: int, trial: str) -> dict[str, Any]:
    """The job that makes a built-in model."""
    return {"protocol": JOB, "task": "export", "trial": trial, "model": {"name": name}, "seed": seed}


def conformance_job(
    *, backend: BackendSpec, stage: str, suite: Path, tests: Sequence[str], trial: str, test_s: float, import_s: float,
    memory_mb: int, threads: int, artifacts: Path | None = None, made: Mapping[str, Mapping[str, str]] | None = None,
    adapter_file: Path | None = None,
) -> dict[str, Any]:
    """The job that puts tests of the ONNX project to a backend, or (`stage` "convert") to its converter, which may be another's.

    `made`: test → `{"format", "file"}` of what the converter wrote below `artifacts`.
    """
    return {
        "protocol": JOB, "task": "conformance", "trial": trial, "stage": stage,
        "adapter": backend.converter.by if stage == "convert" and backend.converter else backend.adapter,
        **({"output": backend.converter.output} if backend.converter else {}),
        **({"adapter_file": str(adapter_file)} if adapter_file else {}),
        "settings": _defaults(backend, stage), "precision": "fp32",
        "device": "cpu" if "cpu" in backend.devices else backend.devices[0], "threads": threads, "seed": 1,
        "suite": suite, "tests": list(tests),
        **({"artifacts": artifacts, "made": {name: dict(one) for name, one in (made or {}).items()}} if artifacts else {}),
        "test_s": test_s, "import_s": import_s, "memory_mb": memory_mb,
    }


def _defaults(backend: BackendSpec, stage: str) -> dict[str, Any]:
    """Of all settings, or of those that a conversion gets."""
    names = backend.converter.settings if stage == "convert" and backend.converter else backend.settings
    return {name: backend.settings[name].default for name in names}


def _member(model: PreparedModel, artifact: Path | None, form: str) -> dict[str, Any]:
    path = artifact or model.folder / model.formats[form]
    return {"model": {"name": model.name, "format": form, "path": path}, **_data(model)}


def _data(model: PreparedModel) -> dict[str, Any]:
    return {
        "inputs": model.folder / "inputs.npz", "reference": model.folder / "reference.npz",
        "input_order": [tensor.name for tensor in model.inputs], "output_order": [tensor.name for tensor in model.outputs],
        "batchable": model.batchable, "fixed_batch": model.fixed_batch,
    }


def _cell_job(cell: Cell, profile: Profile) -> dict[str, Any]:
    return {
        "id": cell.id, "scenario": cell.scenario.value, "batch": cell.batch, "min_duration_s": profile.min_duration_s,
        "min_iterations": profile.min_iterations, "max_iterations": profile.max_iterations, "warmup_s": profile.warmup_s,
        "max_cell_s": profile.max_cell_s, **({"options": dict(cell.options)} if cell.options else {}),
    }


def read_result(path: Path, *, trial: str, task: str, cells: Sequence[str] = ()) -> dict[str, Any]:
    """The result in `path`, believed: bounded, finite, typed, and of this very trial.

    Raises:
        BadResultError: with one sentence that says what is wrong.
    """
    if path.is_symlink() or not path.is_file():
        raise BadResultError("it is not a plain file")
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise BadResultError(f"it is larger than {MAX_RESULT_BYTES >> 20} MiB")
    try:
        value = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise BadResultError("it is nested too deeply") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise BadResultError(f"it is not JSON: {str(error)[:200]}") from None
    _check(value, "result")
    if value["trial"] != trial or value["task"] != task:
        raise BadResultError(f"it is of {value['task']} {value['trial']!r}, not of {task} {trial!r}")
    seen = [cell["id"] for cell in value.get("cells", ())]
    for cell in value.get("cells", ()):
        found = cell.get("accuracy")
        if found is not None and found["correct"] > found["n"]:
            raise BadResultError(f"it counts {found['correct']} right answers among {found['n']}")
    if len(seen) != len(set(seen)) or not set(seen) <= set(cells):
        raise BadResultError("it has cells that were not asked for, or one twice")
    return dict(value)


def read_outcomes(path: Path, *, tests: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Test → outcome out of a job of conformance tests, which may have been ended in the middle of a line.

    Raises:
        BadResultError: with one sentence that says what is wrong.
    """
    if path.is_symlink() or not path.is_file():
        raise BadResultError("it is not a plain file")
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise BadResultError(f"it is larger than {MAX_RESULT_BYTES >> 20} MiB")
    found: dict[str, dict[str, Any]] = {}
    wanted = set(tests)
    for line in path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]:
        try:
            value = json.loads(line, parse_constant=_refuse_constant)
        except (RecursionError, ValueError) as error:
            raise BadResultError(f"a line of it is not JSON: {str(error)[:200]}") from None
        _check(value, "outcome")
        name = value.pop("test")
        if name not in wanted or name in found:
            raise BadResultError(f"it has a test that was not asked for, or one twice: {name[:100]!r}")
        found[name] = value
    return found


def _check(value: Any, schema: str) -> None:
    _check_values(value, schema, 0)
    problem = jsonschema.exceptions.best_match(_validator(schema).iter_errors(value))
    if problem is not None:
        where = "/".join(map(str, problem.absolute_path)) or schema
        raise BadResultError(f"{where}: {problem.message[:200]}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that a result may hold")


def _check_values(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadResultError(f"{where} is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadResultError(f"{where} is not finite")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise BadResultError(f"{where} is out of range")
    if isinstance(value, str):
        limit = MAX_SAMPLES_TEXT if where.endswith(f".samples.{SAMPLES_KEY}") else MAX_TEXT
        if len(value) > limit:
            raise BadResultError(f"{where} is longer than {limit} characters")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_values(item, f"{where}[{number}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if len(key) > 200:
                raise BadResultError(f"{where} has a key of {len(key)} characters")
            _check_values(item, f"{where}.{key}", depth + 1)


@lru_cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
