"""The models of a run: built-in ones exported in their own environment, files inspected; each prepared or its error."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.config.entries import ModelEntry
from orchestrator.errors import BuildError, InfermatrixError, ModelError
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.model import EnvSpec, Limits, Outcome, PreparedModel, ReadyEnv, RunRequest
from orchestrator.models.labelled import attach
from orchestrator.models.prepare import prepare_file
from orchestrator.models.zoo import ZOO_FORMATS, find_cached, is_cached, prepare_zoo
from orchestrator.protocol import JOB, BadResultError, read_result

Say = Callable[[str], None]
EXPORT_DEADLINE_S = 1_200.0
MAX_EXPORT_BYTES = 16 << 30
Prepared = dict[str, "PreparedModel | InfermatrixError"]


@dataclass(frozen=True, kw_only=True)
class ModelSet:
    """The models that a plan's cells name."""

    entries: tuple[ModelEntry, ...]
    env: EnvSpec  # in which built-in models are made
    runner_dir: Path
    cache: Path
    seed: int

    def only(self, names: Collection[str]) -> ModelSet:
        """Those of these names."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.name in names))

    def files(self) -> bool:
        """True where a model is a file of the user's."""
        return any(entry.path is not None for entry in self.entries)

    def zoo_formats(self) -> frozenset[str]:
        """The formats that every built-in model comes in."""
        return frozenset(ZOO_FORMATS)

    def needs_export(self) -> bool:
        """True where a built-in model is not in the cache yet."""
        return any(entry.path is None and not is_cached(entry.network, **self._identity(entry)) for entry in self.entries)

    def cached(self, name: str) -> PreparedModel | None:
        """The built-in model of that name with its own weights, where an earlier run left it."""
        return find_cached(name, **self._identity(ModelEntry(name=name)))

    def prepare(
        self, isolation: Isolation, env: ReadyEnv | BuildError | None, limits: Limits, stop: Stop, say: Say
    ) -> Prepared:
        """Each model by name, or why it cannot be measured."""
        made: Prepared = {}
        for entry in self.entries:
            try:
                if entry.path is None:
                    prepared = self._export(entry, isolation, env, limits, stop, say)
                else:
                    prepared = prepare_file(
                        entry.path, name=entry.name, shapes=entry.shapes, inputs=entry.inputs, seed=self.seed,
                        tolerance=entry.tolerance, cache_dir=self.cache / "models", progress=say,
                    )
                made[entry.name] = self._as_asked(prepared, entry)
            except (ModelError, BuildError) as error:
                say(f"{entry.name}: {error.message}" + (f" — {error.hint}" if error.hint else ""))
                made[entry.name] = error
        return made

    def _as_asked(self, prepared: PreparedModel, entry: ModelEntry) -> PreparedModel:
        """With the tolerances and the labelled data set that the matrix gives it."""
        asked, labelled = entry.accuracy, prepared.labelled
        if asked is not None:
            labelled = attach(
                prepared, inputs=asked.inputs, labels=asked.labels, metric=asked.metric, output=asked.output,
                cache_dir=self.cache / "labelled",
            )
        return replace(
            prepared, tolerance={**prepared.tolerance, **entry.tolerance}, tolerances=entry.tolerances, labelled=labelled
        )

    def _export(
        self, entry: ModelEntry, isolation: Isolation, env: ReadyEnv | BuildError | None, limits: Limits, stop: Stop, say: Say
    ) -> PreparedModel:
        def run_job(job: Mapping[str, Any], out: Path) -> Outcome:
            if env is None or isinstance(env, BuildError):
                raise env or BuildError("the environment that built-in models are made in was not prepared")
            trial = f"export-{entry.name}"
            staged = (entry.weights.parent,) if isinstance(entry.weights, Path) else ()
            outcome = isolation.run(
                RunRequest(
                    name=trial, env=env, job={**job, "protocol": JOB, "trial": trial}, staged=staged, limits=limits,
                    max_output_bytes=MAX_EXPORT_BYTES, deadline_s=EXPORT_DEADLINE_S, out_dir=out,
                ),
                stop,
            )
            _refuse_failed(outcome, entry.name, trial)
            return outcome

        (prepared,) = prepare_zoo((entry.network,), run_job=run_job, progress=say, **self._identity(entry))
        return replace(prepared, name=entry.name)

    def _identity(self, entry: ModelEntry) -> dict[str, Any]:
        """What a built-in model's content depends on: the packages asked for, the exporter's source, given weights."""
        assert not isinstance(entry.weights, str), "weights that a hub has by name are fetched beforehand"
        return {
            "weights": entry.weights,
            "env_digest": digest_of_files(sorted(self.env.folder.glob("*.*"))), "seed": self.seed,
            "exporter_digest": digest_of_files(
                [self.runner_dir / "export_zoo.py", *sorted((self.runner_dir / "zoo").glob("*.py"))]
            ),
            "cache_dir": self.cache / "models",
        }


def _refuse_failed(outcome: Outcome, name: str, trial: str) -> None:
    """Raise ModelError with the exporter's own words, where it had any."""
    if outcome.result_file is None:
        return
    try:
        failure = read_result(outcome.result_file, trial=trial, task="export").get("failure")
    except BadResultError as error:
        raise ModelError(f"the export of {name} cannot be used: its result is damaged: {error}") from None
    if failure:
        raise ModelError(f"the export of {name} failed: {failure['message']}", hint=outcome.log_tail.strip()[-500:])


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()
