"""Decides whose outputs are the reference: float64 where it can be had, else unoptimised float32, and says which."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import ModelError
from orchestrator.models.agreement import mismatch_fraction, relative_l2, variation
from orchestrator.models.enginereport import Report
from orchestrator.models.guard import memory_limit, run_module
from orchestrator.models.npzfile import read_npz

Array = npt.NDArray[Any]
EVALUATOR = "onnx reference evaluator float64"
ENGINE = "onnxruntime float32, optimisations off"
_GROSS = 1e-2
_GROSS_MISMATCH = 0.05
_LITTLE_VARIATION = 1e-2


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What computing a reference may cost."""

    evaluator_s: float = 90.0
    engine_s: float = 600.0
    evaluator_max_bytes: int = 1_500_000_000  # of the model with its data
    max_output_bytes: int = 512 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Question:
    """A model with inputs, ready to be run."""

    model: Path
    inputs: Path
    outputs: Path  # reference.npz, written here
    work: Path  # scratch folder
    output_names: Sequence[str]
    batchable: bool
    fixed_batch: int
    size: int  # bytes of the model with its data
    agreement: float  # relative L2 up to which rows of a batch count as equal to the rows alone


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Reference outputs (S, …), or why rows cannot be batched, in which case there are none."""

    outputs: Mapping[str, Array]
    source: str
    batch_error: str | None
    notes: tuple[str, ...]
    repeatable: bool = True  # the same input gives the same outputs


def compute_reference(question: Question, budget: Budget, progress: Callable[[str], None]) -> Answer:
    """Runs both engines where both can, compares them and picks one.

    Raises:
        ModelError: neither engine can run the model with these inputs.
    """
    progress("running the model in onnxruntime, optimisations off")
    engine = _ask("onnxruntime", question, budget, check=True)
    if engine.batch_error:
        return Answer(outputs={}, source="", batch_error=engine.batch_error, notes=())
    if question.size > budget.evaluator_max_bytes:
        evaluator = Report(error=f"the model has {question.size / 1e9:.1f} GB")
    else:
        progress("computing float64 reference outputs")
        evaluator = _ask("evaluator", question, budget, check=engine.error is not None)
    if evaluator.batch_error:
        return Answer(outputs={}, source="", batch_error=evaluator.batch_error, notes=())
    return _decide(question, engine, evaluator)


def dependence_notes(outputs: Mapping[str, Array]) -> tuple[str, ...]:
    """Warnings where the reference cannot tell a right answer from a wrong one."""
    notes = []
    for name, rows in outputs.items():
        if not rows.size:
            notes.append(f"output {name!r} holds no elements: nothing is compared")
        elif not np.isfinite(rows).all():
            bad = 1 - float(np.isfinite(rows).mean())
            notes.append(f"output {name!r}: {bad:.1%} of the reference is NaN or infinite")
    measured = [variation(rows) for rows in outputs.values() if rows.size and len(rows) > 1]
    if measured and max(measured) < _LITTLE_VARIATION:
        notes.append("the outputs hardly depend on the input (they vary by a relative "
                     f"{max(measured):.1e} between samples), so comparing them proves little")
    return tuple(notes)


def _decide(question: Question, engine: Report, evaluator: Report) -> Answer:
    notes: list[str] = []
    engine, evaluator = _without_path(engine, question), _without_path(evaluator, question)
    if engine.error and evaluator.error:
        raise ModelError(f"the model cannot be run: {engine.error}",
                         hint="set free dimensions with --shape NAME=1x3x224x224 or give inputs with --inputs FILE.npz "
                              f"(the reference evaluator: {evaluator.error})")
    if engine.error:
        notes.append(f"onnxruntime cannot run this model: {engine.error}")
        chosen, source = evaluator, EVALUATOR
    elif evaluator.error:
        notes.append(f"no float64 reference: {evaluator.error}")
        chosen, source = engine, ENGINE
    else:
        chosen, source, doubts = _compare(question, engine, evaluator)
        notes.extend(doubts)
    outputs = read_npz(_written(question, chosen, engine), max_bytes=2**62)
    if not chosen.repeatable:
        notes.append("the model is random: the same input gives different outputs, so they cannot be compared")
    if chosen.varying_shapes:
        notes.append("an output's shape depends on the values of the input: only one sample is used")
    return Answer(outputs=outputs, source=source, batch_error=None, notes=tuple(notes), repeatable=chosen.repeatable)


def _compare(question: Question, engine: Report, evaluator: Report) -> tuple[Report, str, tuple[str, ...]]:
    if not engine.repeatable:
        return engine, ENGINE, ()
    ours = read_npz(_written(question, evaluator, engine), max_bytes=2**62)
    theirs = read_npz(_written(question, engine, engine), max_bytes=2**62)
    worst, where = 0.0, ""
    for name, reference in theirs.items():
        if ours[name].shape != reference.shape:
            worst, where = float("inf"), name
        elif reference.dtype.kind == "f":
            distance = relative_l2(reference, ours[name])
            worst, where = max((worst, where), (distance, name))
        elif mismatch_fraction(ours[name], reference) > _GROSS_MISMATCH:
            worst, where = float("inf"), name
    if worst <= max(_GROSS, question.agreement):
        return evaluator, EVALUATOR, ()
    # Every backend is built to agree with onnxruntime; the evaluator is slower to be corrected.
    return engine, ENGINE, (f"the float64 evaluator and onnxruntime disagree on {where!r} (relative L2 {worst:.2g}): "
                            "onnxruntime's outputs are the reference",)


def _ask(engine: str, question: Question, budget: Budget, *, check: bool) -> Report:
    deadline = budget.evaluator_s if engine == "evaluator" else budget.engine_s
    report, job = question.work / f"{engine}.report.json", question.work / f"{engine}.job.json"
    job.write_text(json.dumps({
        "engine": engine, "model": str(question.model), "inputs": str(question.inputs),
        "outputs": str(question.work / f"{engine}.npz"), "report": str(report),
        "output_names": list(question.output_names), "batchable": question.batchable,
        "fixed_batch": question.fixed_batch, "check_batch": check, "agreement": question.agreement,
        "max_output_bytes": budget.max_output_bytes, "deadline_s": deadline}))
    report.unlink(missing_ok=True)
    ended = run_module("orchestrator.models.reference", [str(job)], deadline_s=deadline, memory_bytes=memory_limit(),
                       log=question.work / f"{engine}.log")
    if ended.killed_for:
        return Report(error=f"{engine} was stopped: {ended.killed_for}")
    if not report.exists():
        return Report(error=f"{engine} {_death(ended.exit_code, ended.tail)}")
    return Report(**json.loads(report.read_text()))


def _death(code: int, tail: str) -> str:
    last = tail.splitlines()[-1] if tail else ""
    if code < 0:
        try:
            return f"crashed with {signal.Signals(-code).name}"
        except ValueError:
            return f"crashed with signal {-code}"
    return f"ended with exit code {code}: {last}"


def _without_path(report: Report, question: Question) -> Report:
    """The stored file's path is of no use to anyone: its folder is gone when the message is read."""
    return replace(report, error=report.error and report.error.replace(str(question.model), question.model.name))


def _written(question: Question, report: Report, engine: Report) -> Path:
    return question.work / ("onnxruntime.npz" if report is engine else "evaluator.npz")
