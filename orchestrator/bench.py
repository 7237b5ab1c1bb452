"""What a run holds ready before the first trial: environments, models, conversions, limits, and where records go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.artifacts import Artifact, Artifacts
from orchestrator.classify import Verdict
from orchestrator.compiled import Compilations
from orchestrator.errors import InfermatrixError, UnavailableError
from orchestrator.fidelity import AT_LEAST, tolerance_for
from orchestrator.gpus import Gpu, gpu_of, lacking
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.meters.host import HostMeters
from orchestrator.model import (
    MEMBERS_JOIN,
    BackendSpec,
    Cell,
    Limits,
    Phase,
    PreparedModel,
    Profile,
    ReadyEnv,
    Status,
    TrialSpec,
    digest,
)
from orchestrator.protocol import JOB
from orchestrator.records import RecordStore, record_key


@dataclass(frozen=True, kw_only=True)
class Ready:
    """All that one trial spec needs, resolved."""

    backend: BackendSpec
    env: ReadyEnv
    model: PreparedModel
    artifact: Artifact | None
    format: str
    tolerance: Mapping[str, float]  # what its outputs are held to; of an ensemble, the strictest of its members'
    gpu: Gpu | None = None
    members: tuple[Ready, ...] = ()  # of an ensemble, each by itself; what stands above is then the first one's

    @property
    def name(self) -> str:
        """Of the model, or of the ensemble."""
        return MEMBERS_JOIN.join(one.model.name for one in self.members) if self.members else self.model.name

    @property
    def sha256(self) -> str:
        """Of the model; of an ensemble, over its members' in order."""
        return joint_sha256([one.model.sha256 for one in self.members or (self,)])

    @property
    def incomparable(self) -> str | None:
        """Why outputs cannot be held against a reference; of an ensemble, its first member's reason that has one."""
        return next((one.model.incomparable for one in self.members or (self,) if one.model.incomparable), None)


def strictest(limits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of several models' tolerances, measure by measure."""
    found: dict[str, float] = {}
    for one in limits:
        for name, value in one.items():
            found[name] = (max if name in AT_LEAST else min)(found.get(name, value), value)
    return found


def joint_sha256(sums: Sequence[str]) -> str:
    """One model's own; of several one over all, order included."""
    return sums[0] if len(sums) == 1 else hashlib.sha256("\0".join(sums).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The prepared run."""

    run_id: str
    isolation: Isolation
    backends: Mapping[str, BackendSpec]
    envs: Mapping[str, ReadyEnv | InfermatrixError]  # by label; of rows that no device here is for, none
    converter_envs: Mapping[str, ReadyEnv | InfermatrixError]  # by backend
    models: Mapping[str, PreparedModel | InfermatrixError]
    artifacts: Artifacts
    compilations: Compilations
    cpus: Mapping[int, tuple[int, ...]]  # cores -> the CPUs that cells of so many cores get
    memory_mb: int
    profile: Profile
    seed: int
    host: Mapping[str, Any]  # name, fingerprint and facts, as records carry them
    store: RecordStore
    stop: Stop
    say: Callable[[str], None]
    meters: HostMeters
    gpus: tuple[Gpu, ...] = ()
    gpus_reason: str | None = None  # why `gpus` is empty
    _resolved: dict[tuple[str, str, str, str, str], Ready | Verdict] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)  # by cell id

    def limits(self, cores: int) -> Limits:
        """Equal resources for all cells that get so many cores."""
        return Limits(cpus=self.cpus[cores], memory_mb=self.memory_mb)

    def resolve(self, spec: TrialSpec) -> Ready | Verdict:
        """What the spec's trials run with, converting the model now if need be; or why they cannot run."""
        cell = spec.cells[0]
        key = (cell.label, cell.model, cell.precision, cell.device, digest(self._conversion_settings(cell)))
        if key not in self._resolved:
            self._resolved[key] = self._absent(cell) or self._on_device(cell)
        return self._resolved[key]

    def _absent(self, cell: Cell) -> Verdict | None:
        """Asked before anything else: what a device that is not here needs is not prepared."""
        why = lacking(cell.device, self.gpus, self.gpus_reason)
        return None if why is None else Verdict(status=Status.NOT_RUN, reason=why, phase=None)

    def _on_device(self, cell: Cell) -> Ready | Verdict:
        found = self._resolve(cell, cell.model) if len(cell.members) == 1 else self._resolve_all(cell)
        gpu = gpu_of(cell.device, self.gpus)
        return found if gpu is None or isinstance(found, Verdict) else replace(found, gpu=gpu)

    def _resolve_all(self, cell: Cell) -> Ready | Verdict:
        """An ensemble: as its members, or why the first that cannot run cannot."""
        found: list[Ready] = []
        for name in cell.members:
            one = self._resolve(cell, name)
            if isinstance(one, Verdict):
                return replace(one, reason=f"{name}: {one.reason}")
            found.append(one)
        return replace(found[0], members=tuple(found), tolerance=strictest([one.tolerance for one in found]))

    def _resolve(self, cell: Cell, name: str) -> Ready | Verdict:
        backend, env, model = self.backends[cell.backend], self.envs[cell.label], self.models[name]
        if isinstance(env, InfermatrixError):
            return _unprepared(env)
        if isinstance(model, InfermatrixError):
            return Verdict(status=Status.NOT_RUN, reason=f"the model could not be prepared: {model.message}", phase=None)
        tolerance = tolerance_for(cell.precision, model.tolerance, model.tolerances)
        given = None if self._must_convert(cell, name) else next(one for one in backend.formats if one in model.formats)
        if given is not None:
            return Ready(backend=backend, env=env, model=model, artifact=None, format=given, tolerance=tolerance)
        if backend.converter is None:
            reason = f"it loads {', '.join(backend.formats)}, and no converter makes that"
            return Verdict(status=Status.UNSUPPORTED, reason=reason, phase=Phase.CONVERT.value)
        converter = self.converter_envs[cell.backend]
        if isinstance(converter, InfermatrixError):
            return _unprepared(converter, "converter: ")
        made = self.artifacts.get(
            backend, converter, model, backend.converted_to(cell.precision), self._conversion_settings(cell)
        )
        if isinstance(made, Verdict):
            return made
        return Ready(backend=backend, env=env, model=model, artifact=made, format=made.format, tolerance=tolerance)

    def _must_convert(self, cell: Cell, name: str) -> bool:
        """Whether the precision is made by a conversion, or the model comes in none of the backend's formats."""
        backend, model = self.backends[cell.backend], self.models.get(name)
        loads = isinstance(model, PreparedModel) and any(one in model.formats for one in backend.formats)
        return backend.must_convert(cell.precision) or not loads

    def _conversion_settings(self, cell: Cell) -> dict[str, Any]:
        """Those of the cell's settings that its conversion depends on."""
        converter = self.backends[cell.backend].converter
        return {name: cell.settings[name] for name in (converter.settings if converter else ()) if name in cell.settings}

    def sha256(self, cell: Cell) -> str | None:
        """Of what the cell measures; None where a model could not be prepared."""
        sums = [getattr(self.models.get(name), "sha256", None) for name in cell.members]
        return None if None in sums else joint_sha256([str(one) for one in sums])

    def key(self, cell: Cell) -> str:
        """The record key of a cell under this run's conditions; worked out once, for every trial of it asks."""
        if cell.id not in self._keys:
            self._keys[cell.id] = self._key(cell)
        return self._keys[cell.id]

    def _key(self, cell: Cell) -> str:
        env, models = self.envs.get(cell.label), [self.models.get(name) for name in cell.members]
        prepared = [model for model in models if isinstance(model, PreparedModel)]
        converts = any(self._must_convert(cell, name) for name in cell.members)
        converter = self.converter_envs.get(cell.backend) if converts else None
        profile = self.profile
        return record_key(
            cell,
            {
                "env": getattr(env, "digest", None), "converter": getattr(converter, "digest", None),
                "model": self.sha256(cell), "inputs": _one_or_all([one.folder.name for one in prepared]),
                "tolerance": _one_or_all([tolerance_for(cell.precision, one.tolerance, one.tolerances) for one in prepared]),
                "labelled": _one_or_all([one.labelled.sha256 if one.labelled else None for one in prepared]),
                "host": self.host["fingerprint"], "isolation": self.isolation.kind.value,
                "cpus": list(self.cpus[cell.cores]),
                "memory_mb": self.memory_mb, "protocol": JOB, "seed": self.seed,
                **({"gpu": gpu.uuid} if (gpu := gpu_of(cell.device, self.gpus)) else {}),
                "measure": [
                    profile.min_duration_s, profile.min_iterations, profile.max_iterations, profile.warmup_s, profile.max_cell_s,
                ],
            },
        )


def _one_or_all(values: Sequence[Any]) -> Any:
    """A single model's key reads as it always did; an ensemble has a list."""
    return values[0] if len(values) == 1 else list(values) or None


def _unprepared(error: InfermatrixError, who: str = "") -> Verdict:
    """What the host lacks is no finding about the backend, and the hint says what else would serve."""
    if isinstance(error, UnavailableError):
        reason = f"{who}{error.message}. {error.hint}" if error.hint else f"{who}{error.message}"
        return Verdict(status=Status.IMAGE_UNAVAILABLE, reason=reason, phase=Phase.BUILD.value)
    return Verdict(status=Status.BUILD_FAILED, reason=f"{who}{error.message}", phase=Phase.BUILD.value)
