"""One engine computes the outputs of all samples: `python -m orchestrator.models.reference JOB.json`.

A child process, because an engine may crash, hang or take all memory. Job: `{"engine": "evaluator" | "onnxruntime",
"model", "inputs" (.npz), "outputs" (.npz to write), "report" (.json to write), "output_names", "batchable",
"fixed_batch", "check_batch", "agreement" (largest relative L2), "max_output_bytes", "deadline_s"}`. Report: see `Report`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.models.agreement import differing
from orchestrator.models.enginereport import Report
from orchestrator.models.engines import Predict, load_evaluator, load_onnxruntime
from orchestrator.models.npzfile import read_npz, write_npz

Array = npt.NDArray[Any]
_ENGINES = {"evaluator": load_evaluator, "onnxruntime": load_onnxruntime}
_BATCHES = (2, 3)
_MESSAGE_LIMIT = 600


class TooSlowError(Exception):
    """The first sample shows that all of them would take longer than the deadline."""


def compute(job: Mapping[str, Any]) -> Report:
    """Runs the job and writes its outputs."""
    started = time.monotonic()
    predict = _ENGINES[job["engine"]](Path(job["model"]))
    inputs = read_npz(Path(job["inputs"]), max_bytes=2**62)
    free = bool(job["batchable"])
    samples = len(next(iter(inputs.values()))) if inputs else 1
    loaded = time.monotonic()
    rows = [predict(_feeds(inputs, [0], free=free))]
    elapsed = time.monotonic() - loaded
    size = max(1, sum(output.nbytes for output in rows[0]))
    samples = max(min(samples, 2), min(samples, int(job["max_output_bytes"]) // size))
    if loaded - started + elapsed * samples > float(job["deadline_s"]) and samples > 1:
        raise TooSlowError(f"one sample takes {elapsed:.1f} s")
    repeatable = not _same_shapes(rows[0], again := predict(_feeds(inputs, [0], free=free))) or not differing(
        rows[0], again)
    rows += [predict(_feeds(inputs, [row], free=free)) for row in range(1, samples)]
    batch_error = None
    limit = float(job["agreement"])
    if job["check_batch"] and repeatable and free:
        batch_error = _check_batches(predict, inputs, rows, limit)
    elif job["check_batch"] and repeatable and int(job["fixed_batch"]) > 1:
        batch_error = _check_mixing(predict, inputs, rows, limit)
    varying = any(not _same_shapes(rows[0], row) for row in rows)
    kept = rows[:1] if varying else rows
    if batch_error is None:
        _write(job, kept, free=free)
    return Report(error=None, samples=len(kept), batch_error=batch_error, repeatable=repeatable,
                  varying_shapes=varying, seconds=time.monotonic() - started)


def _feeds(inputs: Mapping[str, Array], rows: list[int], *, free: bool) -> dict[str, Array]:
    return {name: array[rows] if free else array[rows[0]] for name, array in inputs.items()}


def _check_batches(predict: Predict, inputs: Mapping[str, Array], rows: list[list[Array]],
                   limit: float) -> str | None:
    """Every row of a batch must equal the same row alone."""
    if any(output.shape[:1] != (1,) for output in rows[0]):
        return "with a batch of 1 an output's first dimension is not 1"
    for batch in _BATCHES:
        chosen = [(len(rows) - 1 - i) % len(rows) for i in range(batch)]
        try:
            together = predict(_feeds(inputs, chosen, free=True))
        except Exception as error:  # noqa: BLE001 - engines raise anything, and any of it means "no batch of this size"
            return f"a batch of {batch} fails: {_text(error)}"
        alone = [rows[row] for row in chosen]
        if any(output.shape[:1] != (batch,) for output in together):
            return f"with a batch of {batch} an output's first dimension is not {batch}"
        stacked = [np.concatenate([row[i] for row in alone]) if _stackable(alone, i) else None
                   for i in range(len(together))]
        for whole, parts in zip(together, stacked, strict=True):
            if parts is None or whole.shape != parts.shape or differing([whole], [parts], limit=limit):
                return f"in a batch of {batch} rows influence each other"
    return None


def _check_mixing(predict: Predict, inputs: Mapping[str, Array], rows: list[list[Array]],
                  limit: float) -> str | None:
    """With a fixed first dimension: row 0 must not notice that the other rows are another sample's."""
    if len(rows) == 1:
        return _check_repeating(predict, inputs, rows[0], limit)
    mixed = {name: np.concatenate([array[0][:1], array[1][1:]]) for name, array in inputs.items()}
    outputs = predict(mixed)
    for output, first, second in zip(outputs, rows[0], rows[1], strict=True):
        if not output.shape or output.shape != first.shape or output.shape != second.shape:
            return "an output has no such first dimension"
        if differing([output], [np.concatenate([first[:1], second[1:]])], limit=limit):
            return "rows influence each other"
    return None


def _check_repeating(predict: Predict, inputs: Mapping[str, Array], alone: list[Array], limit: float) -> str | None:
    """The same with a single sample: row 0 must not notice that the other rows are copies of it."""
    repeated = {name: np.repeat(array[0][:1], array[0].shape[0], axis=0) for name, array in inputs.items()}
    if all(np.array_equal(array, inputs[name][0]) for name, array in repeated.items()):
        return "the only sample has equal rows, which show nothing"
    for output, first in zip(predict(repeated), alone, strict=True):
        if not output.shape or output.shape != first.shape or differing([output[:1]], [first[:1]], limit=limit):
            return "rows influence each other"
    return None


def _stackable(rows: list[list[Array]], index: int) -> bool:
    return len({row[index].shape for row in rows}) == 1


def _same_shapes(one: list[Array], other: list[Array]) -> bool:
    return [a.shape for a in one] == [b.shape for b in other]


def _write(job: Mapping[str, Any], rows: list[list[Array]], *, free: bool) -> None:
    join = np.concatenate if free else np.stack
    write_npz(Path(job["outputs"]), {
        name: join([row[index] for row in rows]) for index, name in enumerate(job["output_names"])})


def _text(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_MESSAGE_LIMIT]


def main(arguments: list[str]) -> int:
    """Writes the report; the exit code is 0 even where the engine failed, since the report says so."""
    job = json.loads(Path(arguments[0]).read_text())
    try:
        report = compute(job)
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is the answer to report
        report = Report(error=_text(error) if not isinstance(error, TooSlowError) else f"too slow: {error}")
    Path(job["report"]).write_text(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
