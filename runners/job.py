"""The job as the orchestrator wrote it, checked and typed. Standard library only: read before numpy is imported."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

PROTOCOL = "infermatrix.job/1"
TASKS = ("trial", "convert", "export", "conformance")
MAX_SAMPLES = 200_000  # what the reader of results accepts per cell
_MODULE = re.compile(r"[a-z][a-z0-9_]*\Z")


class JobError(Exception):
    """The job cannot be used; one sentence."""


@dataclass(frozen=True)
class CellJob:
    """One cell to measure: how, how long, how often."""

    id: str
    scenario: str
    batch: int
    min_duration_s: float
    min_iterations: int
    max_iterations: int
    warmup_s: float
    max_cell_s: float
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> Tuple[int, ...]:
        """The batch sizes that the adapter will see, ascending."""
        if self.scenario == "server":  # its batcher makes any up to the largest
            return tuple(range(1, self.batch + 1))
        return (1,) if self.options.get("feeding") == "rows" else (self.batch,)


@dataclass(frozen=True)
class GateJob:
    """Where a trial that is one of several waits for the others: descriptors that it inherited."""

    channel: int  # a socket to the process that started it
    number: int  # its own place among them, from 0
    count: int
    flags: Optional[int] = None  # shared memory, a byte per process; None: no common start


@dataclass(frozen=True)
class AccuracyJob:
    """A labelled data set on which every cell's answers are counted."""

    inputs: str
    labels: str
    metric: str
    output: str


@dataclass(frozen=True)
class TrialJob:
    """One trial: what to load, with what, and the cells to measure."""

    trial: str
    adapter: str
    adapter_file: Optional[str]
    settings: Mapping[str, Any]
    precision: str
    device: str
    threads: int
    seed: int
    model_name: str
    format: str
    path: str
    inputs: str
    reference: str
    input_order: Tuple[str, ...]
    output_order: Tuple[str, ...]
    batchable: bool
    fixed_batch: int
    cache_dir: Optional[str]
    probe: bool
    cells: Tuple[CellJob, ...] = field(default=())
    instances: int = 1
    gate: Optional[GateJob] = None
    members: Tuple["TrialJob", ...] = ()  # of an ensemble: each a job of its own, but for the cells
    keep_cache: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)  # as it came: what jobs for child processes are made from
    accuracy: Optional[AccuracyJob] = None


def read_job(path: str) -> Dict[str, Any]:
    """The job as plain JSON, of a known protocol and task.

    Raises:
        JobError: unreadable, not JSON, or of another version.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse_job(file.read(), "the job file {}".format(path))
    except (OSError, UnicodeDecodeError) as error:
        raise JobError("the job file {} cannot be read: {}".format(path, error)) from None


def parse_job(text: str, source: str) -> Dict[str, Any]:
    """As `read_job`, from the text itself; `source` says in errors where it came from."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise JobError("{} cannot be read: {}".format(source, error)) from None
    if not isinstance(raw, dict):
        raise JobError("{} holds no JSON object".format(source))
    if raw.get("protocol") != PROTOCOL:
        raise JobError("this runner speaks {}, the job is {}".format(PROTOCOL, raw.get("protocol")))
    if raw.get("task") not in TASKS:
        raise JobError("unknown task {!r}: it must be one of {}".format(raw.get("task"), ", ".join(TASKS)))
    return raw


def trial_job(raw: Mapping[str, Any]) -> TrialJob:
    """The typed job of a trial.

    Raises:
        JobError: naming the field that is missing or of a wrong type.
    """
    try:
        model = raw["model"]
        job = TrialJob(
            trial=str(raw["trial"]), adapter=str(raw["adapter"]), adapter_file=raw.get("adapter_file"),
            settings=dict(raw["settings"]), precision=str(raw["precision"]), device=str(raw["device"]),
            threads=int(raw["threads"]), seed=int(raw.get("seed", 0)), model_name=str(model.get("name", "")),
            format=str(model["format"]), path=str(model["path"]), inputs=str(raw["inputs"]),
            reference=str(raw["reference"]), input_order=tuple(raw["input_order"]),
            output_order=tuple(raw["output_order"]), batchable=bool(raw["batchable"]),
            fixed_batch=int(raw["fixed_batch"]), cache_dir=raw.get("cache_dir"),
            probe=bool((raw.get("probe") or {}).get("enabled", True)), cells=tuple(_cell(cell) for cell in raw["cells"]),
            instances=int(raw.get("instances", 1)), keep_cache=bool(raw.get("keep_cache", False)), gate=_gate(raw.get("gate")),
            members=tuple(trial_job({**raw, **one, "members": [], "accuracy": None}) for one in raw.get("members", ())), raw=raw,
            accuracy=_accuracy(raw.get("accuracy")),
        )
    except KeyError as error:
        raise JobError("the job lacks {}".format(error)) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise JobError("the job has a field of a wrong type: {}".format(error)) from None
    if job.threads < 1 or job.instances < 1:
        raise JobError("the job asks for {} instances of {} threads".format(job.instances, job.threads))
    if job.adapter_file is None and not _MODULE.match(job.adapter):
        raise JobError("{!r} is no name of an adapter".format(job.adapter))
    return job


def _gate(raw: Optional[Mapping[str, Any]]) -> Optional[GateJob]:
    if raw is None:
        return None
    return GateJob(**{name: int(raw[name]) for name in ("channel", "number", "count", "flags") if name in raw})


def _accuracy(raw: Optional[Mapping[str, Any]]) -> Optional[AccuracyJob]:
    if raw is None:
        return None
    return AccuracyJob(inputs=str(raw["inputs"]), labels=str(raw["labels"]), metric=str(raw["metric"]),
                       output=str(raw["output"]))


def _cell(raw: Mapping[str, Any]) -> CellJob:
    cell = CellJob(
        id=str(raw["id"]), scenario=str(raw["scenario"]), batch=int(raw["batch"]),
        min_duration_s=float(raw["min_duration_s"]), min_iterations=max(1, int(raw["min_iterations"])),
        max_iterations=min(MAX_SAMPLES, max(1, int(raw["max_iterations"]))), warmup_s=float(raw["warmup_s"]),
        max_cell_s=float(raw["max_cell_s"]), options=dict(raw.get("options") or {}),
    )
    if cell.batch < 1:
        raise ValueError("batch {} of cell {}".format(cell.batch, cell.id))
    return cell
