"""The frozen values that the stages hand to each other (glossary: `orchestrator/__init__.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Union

from orchestrator.canonical import canonical_json as canonical_json
from orchestrator.canonical import digest as digest
from orchestrator.canonical import slug
from orchestrator.words import BaseVariant as BaseVariant
from orchestrator.words import Compiled as Compiled
from orchestrator.words import Ending as Ending
from orchestrator.words import IsolationKind as IsolationKind
from orchestrator.words import Phase as Phase
from orchestrator.words import Scenario as Scenario
from orchestrator.words import Status as Status

Scalar = Union[str, int, float, bool, None]
MEMBERS_JOIN = "+"


@dataclass(frozen=True, kw_only=True)
class SettingSpec:
    """One switch of a backend, as its `backend.yaml` declares it."""

    name: str
    type: str  # string | integer | number | boolean
    default: Scalar
    choices: tuple[Scalar, ...] = ()
    doc: str = ""
    recommended: Scalar = None  # by the vendor; None: it recommends nothing
    source: str = ""  # where the vendor says so


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """One set of dependencies kept apart from all others: becomes an image or a virtual environment."""

    name: str  # "onnxruntime", "ncnn/converter", "_models"
    folder: Path  # holds requirements.in and lock-cp<XY>-<machine>.txt
    base: BaseVariant = BaseVariant.SLIM
    extra_index_urls: tuple[str, ...] = ()
    version: str | None = None  # of the backend's distribution, where an entry asks for another than the lock's
    version_of: str | None = None  # the distribution that `version` pins
    extra_files: tuple[Path, ...] = ()  # adapters that live outside runners/ (user backends)


@dataclass(frozen=True, kw_only=True)
class ConverterSpec:
    """Turns a model's ONNX file into a backend's own format, in an environment of its own."""

    env: EnvSpec
    by: str  # the backend whose adapter converts: another's where the converter is shared
    output: str  # the format it writes
    precisions: tuple[str, ...] = ()  # always converted for these, even where the backend loads the model as it is
    settings: tuple[str, ...] = ()  # of the backend's own, those that the conversion depends on


@dataclass(frozen=True, kw_only=True)
class BackendSpec:
    """One backend as its folder declares it."""

    name: str
    title: str
    licence: str
    homepage: str
    adapter: str  # module below runners/adapters (or the file in the user's own folder)
    env: EnvSpec
    formats: tuple[str, ...]  # what load() takes, best first: onnx, pt2, ncnn …
    precisions: tuple[str, ...]
    devices: tuple[str, ...]
    settings: Mapping[str, SettingSpec] = field(default_factory=dict)
    converter: ConverterSpec | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)  # precision -> why the backend cannot have it

    def must_convert(self, precision: str) -> bool:
        """Whether this precision is made by a conversion, whatever format the model comes in."""
        return self.converter is not None and precision in self.converter.precisions

    def converted_to(self, precision: str) -> str:
        """What a conversion writes for a cell of this precision: fp32 where the backend itself narrows it while it loads."""
        return precision if self.must_convert(precision) else "fp32"


@dataclass(frozen=True, kw_only=True)
class BackendEntry:
    """One row of the matrix: a backend under a label, with its settings filled in."""

    label: str
    backend: str
    settings: Mapping[str, Scalar]
    version: str | None = None
    compiled: Compiled = Compiled.FRESH


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the matrix."""

    label: str
    backend: str
    settings: Mapping[str, Scalar]
    backend_version: str | None
    model: str
    host: str
    device: str
    precision: str
    batch: int
    threads: int  # of each instance
    instances: int
    scenario: Scenario
    options: Mapping[str, Scalar] = field(default_factory=dict)  # the scenario's own: a latency bound, a cache's state …
    compiled: Compiled = Compiled.FRESH

    @cached_property
    def id(self) -> str:
        """Readable slug + 8 hex digits of the canonical content; unique within a matrix."""
        readable = "-".join(
            slug(str(part))
            for part in (self.label, self.model, self.device, self.precision, f"b{self.batch}",
                         f"t{self.threads}" if self.instances == 1 else f"{self.instances}x{self.threads}", self.scenario.value)
        )
        return f"{readable}-{digest(self.canonical())[:8]}"

    def canonical(self) -> dict[str, Any]:
        """The cell as plain JSON, in a fixed shape."""
        return {
            "label": self.label, "backend": self.backend, "settings": dict(self.settings),
            "backend_version": self.backend_version, "model": self.model, "host": self.host,
            "device": self.device, "precision": self.precision, "batch": self.batch,
            "threads": self.threads, "instances": self.instances, "scenario": self.scenario.value,
            **({"options": dict(self.options)} if self.options else {}),
            **({"compiled": self.compiled.value} if self.compiled is not Compiled.FRESH else {}),
        }

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the models that it measures: several in an ensemble, whose name joins theirs."""
        return tuple(self.model.split(MEMBERS_JOIN)) if self.scenario is Scenario.ENSEMBLE else (self.model,)

    @property
    def cores(self) -> int:
        """CPUs that its trial gets."""
        return self.threads * self.instances

    @cached_property
    def load_key(self) -> str:
        """Cells with equal keys share a load, hence a trial."""
        own = ("batch", "scenario") if self.scenario.shares_a_load else ("batch",)
        shared = {k: v for k, v in self.canonical().items() if k not in own}
        return digest(shared)[:12]


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """The cells that one fresh process measures after loading one model once."""

    id: str
    cells: tuple[Cell, ...]  # same load_key; ordered by scenario, then batch ascending


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How long and how often to measure."""

    name: str
    trials: int  # fresh processes per cell
    min_duration_s: float  # of one cell's timed loop
    min_iterations: int
    max_iterations: int
    warmup_s: float
    max_cell_s: float  # a cell that cannot finish min_iterations within this is `timeout`/`not_run`
    trial_timeout_s: float
    max_retries: int  # of a trial whose machine state differed, or whose host failed
    enough: int = 0  # trials that count, beyond which one that does not is not repeated; 0: all of `trials`. In any machine state


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output: ONNX element type name (float, int64 …) and dims (int or symbol)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """Inputs with their right answers, of one model."""

    inputs: Path  # .npz, one array of `rows` rows per input
    labels: Path  # .npz, the array `labels`: numbers of classes, one or more per row
    rows: int
    metric: str  # top1
    output: str  # the output whose last dimension is the classes
    sha256: str  # of both arrays


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model ready to be measured: a folder that is content-addressed and complete."""

    name: str
    folder: Path  # model.onnx (+ external data), inputs.npz, reference.npz, model.json, other formats
    sha256: str  # of the ONNX file with its external data
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool  # every input and output has a free first dimension
    fixed_batch: int  # the batch size where it is not free
    formats: Mapping[str, str]  # format -> path relative to folder; always has "onnx"
    samples: int  # distinct rows in inputs.npz
    reference_source: str  # "torch float64", "onnx reference evaluator float64", "onnxruntime float32"
    tolerance: Mapping[str, float]  # of fp32; of the others: `fidelity.tolerance_for`
    notes: tuple[str, ...] = ()
    incomparable: str | None = None  # why its outputs cannot be held against a reference: "the model is random"
    tolerances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # what the user set, by precision
    labelled: LabelledSet | None = None


@dataclass(frozen=True, kw_only=True)
class ReadyEnv:
    """An environment that exists: what to run in it and what it weighs."""

    name: str
    kind: IsolationKind
    reference: str  # image id, venv path or interpreter path
    digest: str  # content key: part of every record's key
    installed: str  # digest of its packages, Python and base: of all but the runner
    python: str  # the interpreter inside
    size_mb: float | None
    packages: int | None
    prepare_s: float  # 0 when it was there already
    source: str  # built | cached | pulled | given
    null_reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The reference as results name it: they are published, so the home folder's name is left out."""
        home = f"{Path.home()}/"
        return f"~/{self.reference[len(home):]}" if self.reference.startswith(home) else self.reference


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Resources every trial gets alike."""

    cpus: tuple[int, ...]
    memory_mb: int
    pids: int = 4096


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One process to run in an environment, and what it may have."""

    name: str  # unique within the run: becomes the container's name
    env: ReadyEnv
    job: Mapping[str, Any]  # paths in it are Path objects below a staged folder; rewritten to where they lie inside
    staged: tuple[Path, ...]  # read-only folders on this machine that the job needs
    max_output_bytes: int  # of all that the process leaves in its output folder
    limits: Limits
    deadline_s: float
    out_dir: Path  # where what comes back is put on this machine
    gpu: str | None = None  # UUID of the one GPU that it may use
    kept: Path | None = None  # a folder below which the process may write, and where a later one finds what it left
    on_start: Callable[[int], None] | None = None  # gets the number that this machine knows the first process by


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known of a sandboxed process once it is over."""

    ending: Ending
    exit_code: int | None
    oom_killed: bool
    log_tail: str
    wall_s: float
    started: str  # ISO 8601, UTC
    container_start_ms: float | None
    result_file: Path | None  # result.json as brought back, not validated
    events: tuple[Mapping[str, Any], ...]  # validated, bounded
    detail: str = ""
    not_enforced: tuple[str, ...] = ()
    isolation_ms: Mapping[str, float] = field(default_factory=dict)  # create, start, run, collect, remove: one after the other
