"""An ONNX file becomes a `PreparedModel`: inspected, specialised, with inputs and reference outputs, kept by content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import ModelError, ResultError
from orchestrator.fidelity import DEFAULT_TOLERANCE
from orchestrator.model import PreparedModel, TensorSpec, digest
from orchestrator.models.filehash import FileHashes
from orchestrator.models.inputs import Spread, as_rows, generate, given_shapes, input_rules, read_given, rule_notes
from orchestrator.models.npzfile import write_npz
from orchestrator.models.onnxfile import OnnxFile, inspect, without_batch
from orchestrator.models.referee import Answer, Budget, Question, compute_reference, dependence_notes
from orchestrator.models.specialise import specialised
from orchestrator.models.store import (
    INPUTS,
    MANIFEST,
    REFERENCE,
    hashes_of,
    load_prepared,
    model_sha256,
    new_folder,
    write_manifest,
)

Array = npt.NDArray[Any]
_HALF_TOLERANCE: Mapping[str, float] = {"rel_l2": 2e-2, "cosine": 0.999, "mismatch_fraction": 0.02}
_QUANTISED_TOLERANCE: Mapping[str, float] = {"rel_l2": 5e-2, "cosine": 0.99, "mismatch_fraction": 0.05}
_COARSE_AGREEMENT = 5e-2
_AGREEMENT = 1e-2
_CODE_VERSION = 3  # raise it when the same file would be prepared differently
_SAMPLES = 16
_MAX_INPUT_BYTES = 256 * 1024**2
_LINK_FROM = 256 * 1024**2  # below that a copy is cheap, and safe from the original being overwritten in place
_RESERVED = {"model.onnx", INPUTS, REFERENCE, MANIFEST}


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """One attempt: the file with the dimensions it is tried with, and inputs as rows."""

    file: OnnxFile
    rows: Mapping[str, Array]
    notes: tuple[str, ...]


def prepare_file(path: Path, *, cache_dir: Path, name: str | None = None,
                 shapes: Mapping[str, tuple[int, ...]] | None = None, inputs: Path | None = None, seed: int = 0,
                 tolerance: Mapping[str, float] | None = None, budget: Budget | None = None,
                 progress: Callable[[str], None] | None = None) -> PreparedModel:
    """Prepares any ONNX file; a second call with the same content does no work.

    `shapes` sets dimensions by input, `inputs` is an .npz/.npy of the user's own samples, `tolerance` overrides the
    limits of fidelity. Notes of the result list every default that was taken.

    Raises:
        ModelError: the file, the shapes or the inputs cannot be used, or no engine can run the model.
    """
    path, tell = Path(path), progress or (lambda _text: None)
    file = inspect(path, ranks_later=True) if inputs else inspect(path, shapes)
    given = read_given(inputs, file.inputs) if inputs else None
    hashes = hashes_of(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    key = _key(file, shapes or {}, inputs, seed, hashes)
    label = name or path.stem
    found = _cached(cache_dir / key, label, tolerance)
    if found:
        return found
    draft = _draft(file, shapes or {}, given, seed)
    with new_folder(cache_dir, key) as folder:
        tell(f"preparing {label}")
        try:
            prepared = _build(draft, folder, label, given, seed, budget or Budget(), hashes, tell)
        except ModelError as error:
            raise _with_custom_operators(error, file) from error
        write_manifest(folder, prepared, hashes, parameters=file.parameters, opsets=file.opsets,
                       operators=file.operators)
    return _with(replace(prepared, folder=cache_dir / key), label, tolerance)


def _with_custom_operators(error: ModelError, file: OnnxFile) -> ModelError:
    """Where the file has operators of its own, they are the likely cause; an engine's words seldom say so."""
    names = file.custom_operators
    if not names:
        return error
    several = "s" if len(names) > 1 else ""
    return ModelError(
        f"{file.path} uses the custom operator{several} {', '.join(names[:8])}{' …' if len(names) > 8 else ''}, and cannot be "
        f"run without the library that defines {'them' if several else 'it'}: {error.message}",
        hint="export it with standard ONNX operators, or with a model-local function of that name; no libraries are loaded")


def _build(draft: _Draft, folder: Path, name: str, given: Mapping[str, Array] | None, seed: int, budget: Budget,
           hashes: FileHashes, tell: Callable[[str], None]) -> PreparedModel:
    work = folder / "work"
    work.mkdir()
    onnx = _store_model(draft.file, folder)
    answer = _answer(draft, folder, onnx, work, budget, tell)
    notes: list[str] = []
    while answer.batch_error:  # at most twice: a free batch given up, then a fixed one
        if draft.file.dims.batchable:
            notes.append(f"the first dimension is free but no batch: {answer.batch_error}")
            draft = _draft_without_batch(draft.file, given, seed)
        else:
            draft = replace(draft, file=replace(draft.file, dims=replace(draft.file.dims, fixed_batch=1)))
        onnx = _store_model(draft.file, folder)
        answer = _answer(draft, folder, onnx, work, budget, tell)
    if given is None and not _finite(answer):
        draft, answer = _positive(draft, answer, folder, onnx, work, seed, budget, tell)
    file = draft.file
    if file.dims.fixed_batch > 1:
        notes.append(f"the first dimension is fixed: every inference is a batch of {file.dims.fixed_batch}")
    samples = len(next(iter(answer.outputs.values())))
    rows = {key: array[:samples] for key, array in draft.rows.items()}
    write_npz(folder / INPUTS, rows)
    write_npz(folder / REFERENCE, answer.outputs)
    shutil.rmtree(work)
    tolerance = _QUANTISED_TOLERANCE if file.quantised else _HALF_TOLERANCE if file.half else DEFAULT_TOLERANCE
    if tolerance is not DEFAULT_TOLERANCE:
        kind = "quantised" if file.quantised else "half-precision"
        notes.append(f"a {kind} model: outputs may differ by a relative L2 of {tolerance['rel_l2']:g}")
    if samples < 2 and file.dims.batchable:
        notes.append("there is only one sample: that rows of a batch do not influence each other is not verified")
    if not file.inputs:
        notes.append("the model has no inputs: it computes the same thing every time")
    return PreparedModel(
        name=name, folder=folder, sha256=model_sha256(folder, onnx, file.external, hashes),
        inputs=_input_specs(file), outputs=_output_specs(file, answer), batchable=file.dims.batchable,
        fixed_batch=file.dims.fixed_batch, formats={"onnx": onnx}, samples=samples, reference_source=answer.source,
        tolerance=dict(tolerance), incomparable=None if answer.repeatable else "the model is random",
        notes=(*file.notes, *draft.notes, *notes, *answer.notes, *dependence_notes(answer.outputs)))


def _draft(file: OnnxFile, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, Array] | None,
           seed: int) -> _Draft:
    if given is None:
        return _generated(file, seed, Spread.NORMAL)
    derived = {**given_shapes(given, file.inputs, free_batch=file.dims.batchable), **shapes}
    fitted = inspect(file.path, derived)
    return _Draft(file=fitted, rows=as_rows(given, fitted), notes=())


def _draft_without_batch(file: OnnxFile, given: Mapping[str, Array] | None, seed: int) -> _Draft:
    if given is None:
        return _generated(without_batch(file), seed, Spread.NORMAL)
    whole = given_shapes(given, file.inputs, free_batch=False)
    fitted = without_batch(inspect(file.path, whole))
    return _Draft(file=fitted, rows=as_rows(given, fitted), notes=())


def _generated(file: OnnxFile, seed: int, spread: Spread) -> _Draft:
    rules = input_rules(file)
    elements = sum(int(np.prod(shape, dtype=np.int64)) for shape in file.dims.shapes.values())
    samples = max(2, min(_SAMPLES, _MAX_INPUT_BYTES // max(1, 8 * elements)))
    rows = generate(file, samples, seed, spread=spread, rules=rules)
    return _Draft(file=file, rows=rows, notes=rule_notes(file, rules))


def _positive(draft: _Draft, answer: Answer, folder: Path, onnx: str, work: Path, seed: int, budget: Budget,
              tell: Callable[[str], None]) -> tuple[_Draft, Answer]:
    """A second try with floats from [0, 1) where N(0, 1) gave NaN; kept only if it helps."""
    second = _generated(draft.file, seed, Spread.UNIT)
    retried = _answer(second, folder, onnx, work, budget, tell)
    if retried.batch_error or not _finite(retried):
        return draft, answer
    note = "floats are drawn from [0, 1): values below zero gave NaN or infinity"
    return replace(second, notes=(*second.notes, note)), retried


def _answer(draft: _Draft, folder: Path, onnx: str, work: Path, budget: Budget,
            tell: Callable[[str], None]) -> Answer:
    write_npz(work / INPUTS, draft.rows)
    file = draft.file
    coarse = file.half or file.quantised
    question = Question(
        model=folder / onnx, inputs=work / INPUTS, outputs=folder / REFERENCE, work=work,
        output_names=[spec.name for spec in file.outputs], batchable=file.dims.batchable,
        fixed_batch=file.dims.fixed_batch, size=file.size, agreement=_COARSE_AGREEMENT if coarse else _AGREEMENT)
    return compute_reference(question, budget, tell)


def _store_model(file: OnnxFile, folder: Path) -> str:
    """Writes the model with its data below `folder`; returns the ONNX file's path relative to it."""
    clash = any(name.split("/")[0] in {*_RESERVED, "work"} for name in file.external)
    relative = f"onnx/{file.path.name}" if clash else "model.onnx"
    target = folder / relative
    target.parent.mkdir(exist_ok=True)
    fixed = specialised(file)
    target.unlink(missing_ok=True)
    if fixed is None:
        _bring(file.path, target)
    else:
        target.write_bytes(fixed)
    for name in file.external:
        beside = target.parent / name
        beside.parent.mkdir(parents=True, exist_ok=True)
        if not beside.exists():
            _bring(file.path.parent / name, beside)
    return relative


def _bring(source: Path, target: Path) -> None:
    real = source.resolve()
    if real.stat().st_size >= _LINK_FROM:
        try:
            os.link(real, target)
            return
        except OSError:
            pass  # another file system, or one without links
    shutil.copyfile(real, target)


def _key(file: OnnxFile, shapes: Mapping[str, tuple[int, ...]], inputs: Path | None, seed: int,
         hashes: FileHashes) -> str:
    base = file.path.parent
    return digest({
        "onnx": hashes.sha256(file.path), "data": {name: hashes.sha256(base / name) for name in file.external},
        "shapes": {name: list(shape) for name, shape in shapes.items()}, "seed": seed, "code": _CODE_VERSION,
        "inputs": hashes.sha256(inputs) if inputs else None})[:32]


def _cached(folder: Path, name: str, tolerance: Mapping[str, float] | None) -> PreparedModel | None:
    if not folder.exists():
        return None
    try:
        return _with(load_prepared(folder), name, tolerance)
    except ResultError:
        return None  # damaged: prepared again


def _with(prepared: PreparedModel, name: str, tolerance: Mapping[str, float] | None) -> PreparedModel:
    return replace(prepared, name=name, tolerance={**prepared.tolerance, **(tolerance or {})})


def _finite(answer: Answer) -> bool:
    return all(np.isfinite(array).all() for array in answer.outputs.values())


def _input_specs(file: OnnxFile) -> tuple[TensorSpec, ...]:
    free = file.dims.batchable
    return tuple(replace(spec, shape=(spec.shape[0], *file.dims.shapes[spec.name][1:]) if free
                         else file.dims.shapes[spec.name]) for spec in file.inputs)


def _output_specs(file: OnnxFile, answer: Answer) -> tuple[TensorSpec, ...]:
    """As declared, but with the sizes that running it showed."""
    specs = []
    for spec in file.outputs:
        actual = answer.outputs[spec.name].shape[1:]
        first = spec.shape[0] if spec.shape else "?"
        specs.append(replace(spec, shape=(first, *actual) if file.dims.batchable else actual))
    return tuple(specs)


