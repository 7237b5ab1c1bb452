"""What a trial asks of its isolation: the job, the folders it reads, what was compiled before, its limits and deadline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.artifacts import own_adapter
from orchestrator.bench import Bench, Ready
from orchestrator.classify import Verdict
from orchestrator.compiled import Filling, Kept, brief, wanted
from orchestrator.images.adaptersources import code_digest
from orchestrator.model import Profile, RunRequest, TrialSpec
from orchestrator.protocol import trial_job

MAX_TRIAL_BYTES = 64 << 20


def trial_request(
    bench: Bench, spec: TrialSpec, ready: Ready, trial: str, out: Path, *, profile: Profile, accuracy: bool = False,
    on_start: Callable[[int], None] | None = None,
) -> RunRequest:
    """One process that loads the model once and does the spec's cells."""
    artifact = ready.artifact
    job = trial_job(
        spec, trial=trial, backend=ready.backend, model=ready.model,
        artifact=artifact.file if artifact else None, artifact_format=ready.format, profile=profile, seed=bench.seed,
        members=[(one.model, one.artifact.file if one.artifact else None, one.format) for one in ready.members],
        adapter_file=own_adapter(ready.backend.env, ready.env), accuracy=accuracy,
    )
    return RunRequest(
        name=trial, env=ready.env, job=job, staged=staged_for(ready), max_output_bytes=MAX_TRIAL_BYTES,
        limits=bench.limits(spec.cells[0].cores), deadline_s=profile.trial_timeout_s + _for_accuracy(job, profile), out_dir=out,
        gpu=ready.gpu.uuid if ready.gpu else None, on_start=on_start,
    )


def staged_for(ready: Ready) -> tuple[Path, ...]:
    """The folders that a trial reads."""
    parts = ready.members or (ready,)
    folders = [folder for one in parts for folder in (one.model.folder, *([one.artifact.folder] if one.artifact else []))]
    if ready.model.labelled is not None:
        folders.append(ready.model.labelled.inputs.parent)  # the model's own folder, or one of the user's data
    return tuple(dict.fromkeys(folders))


def kept_for(bench: Bench, spec: TrialSpec, ready: Ready) -> Kept | Verdict | None:
    """What the spec's trials take of what was compiled before, compiled now if need be; None: they compile."""
    first = spec.cells[0]
    if not wanted(first):
        return None
    content = {
        "env": ready.env.installed, "code": code_digest(bench.artifacts.runner_dir, ready.backend.name, ready.backend.env),
        "model": ready.sha256, "format": ready.format,
        "artifact": ready.artifact.key if ready.artifact else None, "settings": dict(first.settings),
        "precision": first.precision, "device": first.device, "gpu": ready.gpu.uuid if ready.gpu else None,
        "threads": first.threads, "batches": sorted({cell.batch for cell in spec.cells}), "seed": bench.seed,
        "host": bench.host["fingerprint"],
    }
    request = partial(trial_request, bench, spec, ready, profile=brief(bench.profile))
    return bench.compilations.get(Filling(
        name=f"{first.label} × {ready.name}", request=request, cells=spec.cells, tolerance=ready.tolerance, content=content))


def _for_accuracy(job: Mapping[str, Any], profile: Profile) -> float:
    """Seconds more that a trial may take which runs a labelled data set through each of its cells."""
    return len(job["cells"]) * profile.max_cell_s if "accuracy" in job else 0.0
