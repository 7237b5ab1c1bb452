"""The built-in models: how an export from their own environment becomes a `PreparedModel`."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import ModelError, ResultError
from orchestrator.model import Ending, Outcome, PreparedModel, digest
from orchestrator.models.accept import accept_export
from orchestrator.models.catalogue import ZOO
from orchestrator.models.store import hashes_of, load_prepared, new_folder, write_manifest

RunJob = Callable[[Mapping[str, Any], Path], Outcome]
"""Runs one job in the models' environment; what it wrote lies below the folder afterwards (`artifact/…`)."""

_CODE_VERSION = 2


ZOO_FORMATS = ("onnx", "pt2")  # what the exporter writes of every model


def is_cached(name: str, *, env_digest: str, seed: int, exporter_digest: str, cache_dir: Path,
              weights: Path | None = None) -> bool:
    """Whether the model can be had without its environment."""
    return find_cached(name, env_digest=env_digest, seed=seed, exporter_digest=exporter_digest, cache_dir=cache_dir,
                       weights=weights) is not None


def find_cached(name: str, *, env_digest: str, seed: int, exporter_digest: str, cache_dir: Path,
                weights: Path | None = None) -> PreparedModel | None:
    """The model as an earlier export left it, or None."""
    return _cached(cache_dir / _key(name, env_digest, seed, exporter_digest, _sha256(weights, cache_dir)))


def _key(name: str, env_digest: str, seed: int, exporter_digest: str, weights: str | None) -> str:
    return digest({"model": name, "seed": seed, "env": env_digest, "exporter": exporter_digest, "code": _CODE_VERSION,
                   "weights": weights})[:32]


def _sha256(weights: Path | None, cache_dir: Path) -> str | None:
    return hashes_of(cache_dir).sha256(weights) if weights else None


def prepare_zoo(names: Sequence[str], *, env_digest: str, run_job: RunJob, seed: int, exporter_digest: str,
                cache_dir: Path, weights: Path | None = None,
                progress: Callable[[str], None] | None = None) -> tuple[PreparedModel, ...]:
    """The built-in models `names`, exported where the cache does not have them yet.

    `env_digest` stands for the packages that the exporter's environment asks for, `exporter_digest` for its source:
    another one exports again. `weights` is a file with those to use instead of random ones; its content counts too.

    Raises:
        ModelError: an unknown name, an export that failed, or one whose files cannot be trusted.
    """
    for name in names:
        if name not in ZOO:
            close = difflib.get_close_matches(name, list(ZOO), n=1, cutoff=0.4)
            raise ModelError(f"there is no built-in model {name!r}",
                             hint=(f"did you mean {close[0]}? " if close else "") + f"built in: {', '.join(ZOO)}")
    tell = progress or (lambda _text: None)
    prepared = []
    for name in names:
        key = _key(name, env_digest, seed, exporter_digest, _sha256(weights, cache_dir))
        found = _cached(cache_dir / key)
        if found is None:
            tell(f"exporting {name}")
            found = _export(name, run_job, seed, cache_dir, key, weights)
        prepared.append(found)
    return tuple(prepared)


def _export(name: str, run_job: RunJob, seed: int, cache_dir: Path, key: str, weights: Path | None) -> PreparedModel:
    model: dict[str, str | Path] = {"name": name, "weights": weights} if weights else {"name": name}
    job = {"protocol": "infermatrix.job/1", "task": "export", "model": model, "seed": seed}
    hashes = hashes_of(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-") as scratch:
        outcome = run_job(job, Path(scratch))
        if outcome.ending is not Ending.EXITED or outcome.exit_code != 0 or outcome.oom_killed:
            raise ModelError(f"the export of {name} failed: {_why(outcome)}",
                             hint="see the end of its log:\n" + outcome.log_tail if outcome.log_tail else "")
        with new_folder(cache_dir, key) as folder:
            accepted = accept_export(Path(scratch) / "artifact", folder, name, hashes)
            write_manifest(folder, accepted.prepared, hashes, parameters=accepted.parameters,
                           opsets=accepted.file.opsets, operators=accepted.file.operators)
    try:
        return load_prepared(cache_dir / key)
    except ResultError as error:
        raise ModelError(f"the export of {name} cannot be used: {error.message}", hint=error.hint) from error


def _cached(folder: Path) -> PreparedModel | None:
    if not folder.exists():
        return None
    try:
        return load_prepared(folder)
    except ResultError:
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _why(outcome: Outcome) -> str:
    if outcome.oom_killed:
        return "it ran out of memory"
    if outcome.ending is not Ending.EXITED:
        return f"it ended by {outcome.ending.value}{': ' if outcome.detail else ''}{outcome.detail}"
    lines = [line for line in outcome.log_tail.splitlines() if line.strip()]
    return f"exit code {outcome.exit_code}" + (f" ({lines[-1].strip()[:300]})" if lines else "")
