"""The runner's jobs over one model: export, convert, trial, each as a process in the environment that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RUNNERS = Path(__file__).parents[2] / "runners"
DEADLINE_S = 280
BackendPython = Callable[[str], str]

sys.path.append(str(RUNNERS))  # the runner's modules import each other from their own folder


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model's folder and what the jobs say of it."""

    folder: Path
    input_order: list[str]
    output_order: list[str]
    batchable: bool

    def job(self) -> dict[str, Any]:
        """The part that all jobs on it share."""
        return {
            "protocol": "infermatrix.job/1", "precision": "fp32", "settings": {}, "inputs": str(self.folder / "inputs.npz"),
            "reference": str(self.folder / "reference.npz"), "input_order": self.input_order, "output_order": self.output_order,
            "batchable": self.batchable, "fixed_batch": 1,
        }

    def arrays(self, name: str) -> dict[str, Any]:
        """inputs or reference."""
        with np.load(self.folder / f"{name}.npz") as archive:
            return {key: archive[key] for key in archive.files}


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs jobs, each in a folder of its own below `scratch`."""

    python: BackendPython
    scratch: Path

    def run(self, env: str, job: dict[str, Any], *, may_fail: bool = False) -> tuple[Path, dict[str, Any]]:
        """The folder and result.json; fails if the process did not end well, unless its result may say why."""
        folder = self.scratch / f"{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        (folder / "job.json").write_text(json.dumps(job))
        command = [self.python(env), str(RUNNERS / "run.py"), "--job", str(folder / "job.json"), "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=folder)
        assert may_fail or done.returncode == 0, done.stderr[-3000:]
        return folder, json.loads((folder / "result.json").read_text())

    def export(self, name: str, seed: int = 1) -> Prepared:
        """A built-in model."""
        job = {"protocol": "infermatrix.job/1", "task": "export", "trial": "e-1", "model": {"name": name}, "seed": seed}
        folder, result = self.run("_models", job)
        assert result["failure"] is None
        about = json.loads((folder / "artifact" / "model.json").read_text())
        names = {part: [tensor["name"] for tensor in about[part]] for part in ("inputs", "outputs")}
        return Prepared(folder=folder / "artifact", input_order=names["inputs"], output_order=names["outputs"], batchable=True)

    def convert(self, backend: str, model: Prepared, **changes: Any) -> tuple[Path | None, dict[str, Any]]:
        """The artifact's path, or None; and the result."""
        job = {**model.job(), **changes, "task": "convert", "trial": "c-1", "adapter": backend,
               "batch": None if model.batchable else 1,
               "model": {"name": "m", "format": "onnx", "path": str(model.folder / "model.onnx")}}
        folder, result = self.run(f"{backend}/converter", job)
        return (None if result["failure"] else folder / "artifact" / result["artifact"]["file"]), result

    def trial(self, backend: str, model: Prepared, path: Path, *, batches: tuple[int, ...], **changes: Any) -> dict[str, Any]:
        """The result of a trial that takes as little time as can be."""
        cells = [
            {"id": f"b{batch}", "scenario": "offline", "batch": batch, "min_duration_s": 0.01, "min_iterations": 2,
             "max_iterations": 4, "warmup_s": 0.0, "max_cell_s": 60} for batch in batches]
        job = {**model.job(), "task": "trial", "trial": "t-1", "adapter": backend, "device": "cpu", "threads": 2, "seed": 1,
               "model": {"name": "m", "format": path.suffix[1:], "path": str(path)}, "cache_dir": None,
               "probe": {"enabled": False}, "cells": cells, **changes}
        return self.run(backend, job)[1]
