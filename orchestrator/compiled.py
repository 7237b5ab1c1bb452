"""What backends compile, made once for all trials of a row that asks for it (`compiled: kept`), before the first of them.

It lies in the backend's own cache, which every trial of that spec is given; nothing here knows what is in it. Another
environment, model, set of batches, thread count or processor has another one (docs/compiled.md).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.classify import Verdict, classify
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.model import Cell, Compiled, Profile, RunRequest, Status, digest
from orchestrator.protocol import BadResultError, read_result
from orchestrator.records import write_atomically
from orchestrator.still import still

COMPILE_DEADLINE_S = 900.0  # more than a trial has: it is done once
NOTHING_KEPT = "its adapter says nothing of a cache that outlives a process"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A filled cache: where the isolation finds it, and what the process took that filled it."""

    key: str
    folder: Path
    ms: float
    cached: bool

    def given(self, request: RunRequest) -> RunRequest:
        """The request of a process that takes from this cache what it finds there, and leaves there what it compiles."""
        return replace(request, kept=self.folder, job={**request.job, "cache_dir": self.folder, "keep_cache": True})


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What the process gets that compiles: as a trial would, without its timed loops."""

    name: str  # for the progress line: row × model
    request: Callable[[str, Path], RunRequest]  # from its name and output folder: a trial's of all cells, with a `brief` profile
    cells: tuple[Cell, ...]
    tolerance: Mapping[str, float]
    content: Mapping[str, Any]  # all that the compiled code depends on


@dataclass(frozen=True, kw_only=True)
class Compilations:
    """The cache of what was compiled, and the way to make what is missing."""

    cache: Path
    isolation: Isolation
    stop: Stop
    say: Callable[[str], None]
    _found: dict[str, Kept | Verdict | None] = field(default_factory=dict)

    def get(self, filling: Filling) -> Kept | Verdict | None:
        """The filled cache, filled now where it is not there; why the backend could not; None where it keeps nothing."""
        key = digest({**filling.content, "isolation": self.isolation.kind.value})[:16]
        if key not in self._found:
            folder = self.cache / "compiled" / key
            about = _load(folder)
            if isinstance(about, Verdict):
                self._found[key] = about
            elif about is None or (about["keeps"] and not self.isolation.keeps(folder)):
                self._found[key] = self._fill(filling, key, folder)
            else:
                self._found[key] = Kept(key=key, folder=folder, ms=about["ms"], cached=True) if about["keeps"] else None
        return self._found[key]

    def _fill(self, filling: Filling, key: str, folder: Path) -> Kept | Verdict | None:
        kept = Kept(key=key, folder=folder, ms=0.0, cached=False)
        name = f"compile-{key}"
        with still(f"compiling {filling.name}", self.say), tempfile.TemporaryDirectory(prefix="infermatrix-compile-") as scratch:
            request = filling.request(name, Path(scratch) / "out")
            why = self.isolation.keep(folder, request.env)
            if why is not None:  # the host's failure, not the backend's
                return Verdict(status=Status.HOST_LOST, reason=why, phase=None)
            request = kept.given(request)
            job, deadline_s = {**request.job, "probe": {"enabled": False}}, max(request.deadline_s, COMPILE_DEADLINE_S)
            outcome = self.isolation.run(replace(request, job=job, deadline_s=deadline_s), self.stop)
            ids = [cell.id for cell in filling.cells]
            result: Mapping[str, Any] | None = None
            problem = None
            if outcome.result_file is not None:
                try:
                    result = read_result(outcome.result_file, trial=name, task="trial", cells=ids)
                except BadResultError as error:
                    problem = str(error)
        if result is None or result.get("failure") or not result.get("complete"):
            verdict = classify(ids, outcome, result, problem, filling.tolerance)[ids[-1]]
            if verdict.status is Status.UNSUPPORTED:
                _note(folder, {"unsupported": verdict.reason, "phase": verdict.phase})
            if verdict.status is Status.OK:  # the cells that it did are well, and it is unknown what became of the rest
                return Verdict(status=Status.CRASHED, reason="it ended before its work", phase=verdict.phase)
            return verdict
        use = (result.get("evidence") or {}).get("cache") or {}
        keeps = (use.get("kind") or "none") != "none"
        took = outcome.wall_s * 1e3
        _note(folder, {"keeps": keeps, "ms": took, "kind": str(use.get("kind"))})
        if not keeps:
            self.say(f"{filling.name}: nothing is kept ({use.get('note') or NOTHING_KEPT}), so every trial compiles")
            return None
        self.say(f"compiled {filling.name} in {took / 1e3:.0f} s; it is kept")
        return replace(kept, ms=took)


def brief(profile: Profile) -> Profile:
    """As often as it takes to have every batch size compiled: once."""
    return replace(profile, min_duration_s=0.0, min_iterations=1, max_iterations=1, warmup_s=0.0)


def wanted(cell: Cell) -> bool:
    """Whether the cell's trials are to take what was compiled before."""
    return cell.compiled is Compiled.KEPT


def _note(folder: Path, about: Mapping[str, Any]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(folder.with_suffix(".json"), json.dumps(about).encode())


def _load(folder: Path) -> Mapping[str, Any] | Verdict | None:
    """What is known of that cache; a Verdict where the backend said that it has not what the model needs."""
    try:
        about = json.loads(folder.with_suffix(".json").read_text())
        if "unsupported" in about:
            return Verdict(status=Status.UNSUPPORTED, reason=str(about["unsupported"]), phase=str(about["phase"]))
        return {"keeps": bool(about["keeps"]), "ms": float(about["ms"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
