"""Conversions: a model in a backend's own format, made once in the converter's environment and kept by content."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.classify import Verdict, classify
from orchestrator.images.adaptersources import code_digest
from orchestrator.images.context import DEFAULT_RUNNER
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.model import (
    BackendSpec,
    ConverterSpec,
    EnvSpec,
    IsolationKind,
    Limits,
    Phase,
    PreparedModel,
    ReadyEnv,
    RunRequest,
    Status,
    digest,
)
from orchestrator.models.store import INPUTS, hashes_of
from orchestrator.protocol import BadResultError, convert_job, read_result
from orchestrator.records import write_atomically
from orchestrator.still import still

META = "artifact.json"
REFUSED = "unsupported"  # in it: why the converter cannot, instead of a file
MAX_ARTIFACT_BYTES = 64 << 30
CONVERT_DEADLINE_S = 1_800.0


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A converted model: its folder (read-only for trials), the file to load, and what the conversion took."""

    key: str
    folder: Path
    file: Path
    format: str
    convert_ms: float | None
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """The cache of conversions, and the way to make what is missing."""

    cache: Path
    isolation: Isolation
    limits: Limits
    stop: Stop
    say: Callable[[str], None]
    runner_dir: Path = DEFAULT_RUNNER

    def get(
        self, backend: BackendSpec, env: ReadyEnv, model: PreparedModel, precision: str, settings: Mapping[str, Any]
    ) -> Artifact | Verdict:
        """The artifact, converted now where it is not there; a Verdict says why there is none.

        `settings`: those of the backend's that the conversion depends on.
        """
        converter = backend.converter
        assert converter is not None
        key = digest(  # of contents only: a model that is exported anew and comes out the same need not be converted anew
            {
                "backend": converter.by, "env": env.installed, "model": model.sha256, "precision": precision,
                "settings": dict(settings), "code": code_digest(self.runner_dir, converter.by, converter.env, "convert.py"),
                "calibration": hashes_of(model.folder.parent).sha256(model.folder / INPUTS),
            }
        )[:16]
        folder = self.cache / "artifacts" / key
        found = _load(folder, key, converter.output)
        if found is not None:
            return found
        made = f" to {precision}" if backend.must_convert(precision) else ""
        what = f"{model.name}{made} for {backend.name}"
        with still(f"converting {what}", self.say), tempfile.TemporaryDirectory(prefix="infermatrix-convert-") as scratch:
            failed = self._convert(converter, env, model, precision, settings, key, folder, Path(scratch) / "out")
        if failed is not None:
            return failed
        fresh = _load(folder, key, converter.output, cached=False)
        assert fresh is not None
        if isinstance(fresh, Artifact) and fresh.convert_ms is not None:
            self.say(f"converted {what} in {fresh.convert_ms / 1e3:.0f} s; it is kept")
        return fresh

    def _convert(
        self, converter: ConverterSpec, env: ReadyEnv, model: PreparedModel, precision: str, settings: Mapping[str, Any],
        key: str, folder: Path, out: Path,
    ) -> Verdict | None:
        """Makes the artifact's folder; what it returns says why there is none."""
        trial = f"convert-{key}"
        batch = None if model.batchable else model.fixed_batch
        outcome = self.isolation.run(
            RunRequest(
                name=trial, env=env,
                job=convert_job(
                    by=converter.by, settings=settings, precision=precision, model=model, batch=batch, trial=trial,
                    adapter_file=own_adapter(converter.env, env),
                ),
                staged=(model.folder,), max_output_bytes=MAX_ARTIFACT_BYTES, limits=self.limits,
                deadline_s=CONVERT_DEADLINE_S, out_dir=out,
            ),
            self.stop,
        )
        result: Mapping[str, Any] | None = None
        problem = None
        if outcome.result_file is not None:
            try:
                result = read_result(outcome.result_file, trial=trial, task="convert")
            except BadResultError as error:
                problem = str(error)
        made = (result or {}).get("artifact") or {}
        name = made.get("file")
        others = {str(form): other for form, other in (made.get("others") or {}).items()}
        files = (name, *others.values())
        if result is None or result.get("failure") or not result.get("complete") or not are_plain(files, out / "artifact"):
            verdict = _as_conversion(classify(("conversion",), outcome, result, problem, {})["conversion"], outcome.log_tail)
            if verdict.status is Status.UNSUPPORTED:  # the same converter will say the same of the same model
                (out / "artifact").mkdir(parents=True, exist_ok=True)
                self._keep(out / "artifact", {REFUSED: verdict.reason}, folder)
            return verdict
        took = (result.get("phases") or {}).get("convert_ms")
        lacking = {str(form): str(reason) for form, reason in (made.get("lacking") or {}).items()}
        meta = {"file": name, "format": str(made.get("format") or ""), "convert_ms": took, "others": others, "lacking": lacking}
        self._keep(out / "artifact", meta, folder)
        return None

    def _keep(self, made: Path, meta: Mapping[str, Any], folder: Path) -> None:
        """Move the folder with what is known of it into the cache, whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(made / META, json.dumps(meta).encode())
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        shutil.move(str(made), str(temporary / "artifact"))
        shutil.rmtree(folder, ignore_errors=True)
        (temporary / "artifact").rename(folder)
        temporary.rmdir()


def own_adapter(spec: EnvSpec, env: ReadyEnv) -> Path | None:
    """The file of a user's own adapter, where it is not in the environment already: images hold it, others do not."""
    return next(iter(spec.extra_files), None) if env.kind is not IsolationKind.DOCKER else None


def _load(folder: Path, key: str, output: str, *, cached: bool = True) -> Artifact | Verdict | None:
    """The file of that format in the artifact, or why the conversion made none; its main file where it does not say."""
    try:
        meta = json.loads((folder / META).read_text())
        if REFUSED in meta:
            return Verdict(status=Status.UNSUPPORTED, reason=str(meta[REFUSED]), phase=Phase.CONVERT.value)
        others, lacking = meta.get("others") or {}, meta.get("lacking") or {}
        if output in lacking:
            return Verdict(status=Status.UNSUPPORTED, reason=lacking[output], phase=Phase.CONVERT.value)
        form = output if output in others else meta["format"]
        return Artifact(
            key=key, folder=folder, file=folder / others.get(output, meta["file"]), format=form,
            convert_ms=meta["convert_ms"], cached=cached,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def are_plain(names: Iterable[Any], folder: Path) -> bool:
    """The artifact's names came out of a container: each must be an existing entry of its folder, nothing else."""
    return all(
        isinstance(name, str) and Path(name).name == name and not name.startswith(".") and (folder / name).exists()
        for name in names
    )


def _as_conversion(verdict: Verdict, log_tail: str) -> Verdict:
    """A converter that crashed is a conversion that failed; what the host did stays what it is."""
    keep = (Status.UNSUPPORTED, Status.OOM, Status.TIMEOUT)
    status = verdict.status if verdict.status.is_infrastructure or verdict.status in keep else Status.CONVERT_FAILED
    reason = verdict.reason
    if status is Status.CONVERT_FAILED and log_tail.strip() and "exited" in (reason or ""):
        reason = f"{reason}: {log_tail.strip().splitlines()[-1][:200]}"
    return Verdict(status=status, reason=reason, phase=Phase.CONVERT.value)
