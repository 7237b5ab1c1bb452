"""What a run holds ready before the first trial: environments, models, conversions, limits, and where records go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.artifacts import Artifact, Artifacts
from orchestrator.classify import Verdict
from orchestrator.errors import InfermatrixError
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.model import BackendSpec, Cell, Limits, Phase, PreparedModel, Profile, ReadyEnv, Status, TrialSpec
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


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The prepared run."""

    run_id: str
    isolation: Isolation
    backends: Mapping[str, BackendSpec]
    envs: Mapping[str, ReadyEnv | InfermatrixError]  # by label
    converter_envs: Mapping[str, ReadyEnv | InfermatrixError]  # by backend
    models: Mapping[str, PreparedModel | InfermatrixError]
    artifacts: Artifacts
    cpus: Mapping[int, tuple[int, ...]]  # cores -> the CPUs that cells of so many cores get
    memory_mb: int
    profile: Profile
    seed: int
    host: Mapping[str, Any]  # name, fingerprint and facts, as records carry them
    store: RecordStore
    stop: Stop
    say: Callable[[str], None]
    _resolved: dict[tuple[str, str, str], Ready | Verdict] = field(default_factory=dict)

    def limits(self, cores: int) -> Limits:
        """Equal resources for all cells that get so many cores."""
        return Limits(cpus=self.cpus[cores], memory_mb=self.memory_mb)

    def resolve(self, spec: TrialSpec) -> Ready | Verdict:
        """What the spec's trials run with, converting the model now if need be; or why they cannot run."""
        cell = spec.cells[0]
        key = (cell.label, cell.model, cell.precision)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(cell)
        return self._resolved[key]

    def _resolve(self, cell: Cell) -> Ready | Verdict:
        backend, env, model = self.backends[cell.backend], self.envs[cell.label], self.models[cell.model]
        if isinstance(env, InfermatrixError):
            return Verdict(status=Status.BUILD_FAILED, reason=env.message, phase=Phase.BUILD.value)
        if isinstance(model, InfermatrixError):
            return Verdict(status=Status.NOT_RUN, reason=f"the model could not be prepared: {model.message}", phase=None)
        given = next((name for name in backend.formats if name in model.formats), None)
        if given is not None:
            return Ready(backend=backend, env=env, model=model, artifact=None, format=given)
        if backend.converter is None:
            reason = f"it loads {', '.join(backend.formats)}, and no converter makes that"
            return Verdict(status=Status.UNSUPPORTED, reason=reason, phase=Phase.CONVERT.value)
        converter = self.converter_envs[cell.backend]
        if isinstance(converter, InfermatrixError):
            return Verdict(status=Status.BUILD_FAILED, reason=f"converter: {converter.message}", phase=Phase.BUILD.value)
        made = self.artifacts.get(backend, converter, model, cell.precision)
        if isinstance(made, Verdict):
            return made
        return Ready(backend=backend, env=env, model=model, artifact=made, format=made.format)

    def key(self, cell: Cell) -> str:
        """The record key of a cell under this run's conditions."""
        env, model = self.envs[cell.label], self.models[cell.model]
        converter = self.converter_envs.get(cell.backend)
        profile = self.profile
        return record_key(
            cell,
            {
                "env": getattr(env, "digest", None), "converter": getattr(converter, "digest", None),
                "model": getattr(model, "sha256", None),
                "inputs": model.folder.name if isinstance(model, PreparedModel) else None,
                "host": self.host["fingerprint"], "isolation": self.isolation.kind.value,
                "cpus": list(self.cpus[cell.cores]),
                "memory_mb": self.memory_mb, "protocol": JOB, "seed": self.seed,
                "measure": [
                    profile.min_duration_s, profile.min_iterations, profile.max_iterations, profile.warmup_s, profile.max_cell_s,
                ],
            },
        )
