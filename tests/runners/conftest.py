"""Runs the real runner as a process of its own, under this Python and under the oldest and newest there are."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RUNNERS = Path(__file__).parents[2] / "runners"
PLANTED = Path(__file__).with_name("planted.py")
MINORS = range(6, 14)  # of Python 3: what runners/ promises
NEEDED = ("numpy", "dataclasses")  # the second is a package on 3.6 only
LAYERS = (200, 128, 64, 32, 16, 8, 4)
SAMPLES = 16

sys.path.append(str(RUNNERS))  # the runner's modules import each other from their own folder


@dataclass(frozen=True)
class Trial:
    """Writes jobs for a small network and runs them."""

    folder: Path
    python: str = sys.executable
    job: dict[str, Any] = field(default_factory=dict)

    def cell(self, name: str = "one", **changes: Any) -> dict[str, Any]:
        """A cell that takes little time."""
        return {
            "id": name, "scenario": "single_stream", "batch": 1, "min_duration_s": 0.02, "min_iterations": 5,
            "max_iterations": 2_000, "warmup_s": 0.01, "max_cell_s": 20, **changes,
        }

    def command(self, out: str = "out") -> list[str]:
        """The runner's command line."""
        return [self.python, str(RUNNERS / "run.py"), "--job", str(self.folder / "job.json"), "--out", str(self.folder / out)]

    def write(self, *, fault: str = "", cells: list[dict[str, Any]] | None = None, **changes: Any) -> None:
        """The job, with a fault planted in its adapter."""
        job = {
            "protocol": "infermatrix.job/1", "task": "trial", "trial": "t-1", "adapter": "planted",
            "adapter_file": str(PLANTED), "settings": {"fault": fault}, "precision": "fp32", "device": "cpu", "threads": 1,
            "seed": 1, "model": {"name": "net", "format": "npz", "path": str(self.folder / "model.npz")},
            "inputs": str(self.folder / "inputs.npz"), "reference": str(self.folder / "reference.npz"), "cache_dir": None,
            "input_order": ["x"], "output_order": ["y"], "batchable": True, "fixed_batch": 1, "probe": {"enabled": False},
            "cells": [self.cell()] if cells is None else cells, **changes,
        }
        (self.folder / "job.json").write_text(json.dumps(job))

    def run(self, *, expect: int = 0, **changes: Any) -> dict[str, Any]:
        """Write the job, run it to its end, and return the result."""
        self.write(**changes)
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == expect, done.stderr
        return self.result()

    def result(self, out: str = "out") -> dict[str, Any]:
        """The result file as it lies there; refuses NaN as every reader does."""
        def refuse(name: str) -> float:
            raise AssertionError(f"{name} in a result")

        value: dict[str, Any] = json.loads((self.folder / out / "result.json").read_text(), parse_constant=refuse)
        return value

    def events(self, out: str = "out") -> list[dict[str, Any]]:
        """The event lines."""
        return [json.loads(line) for line in (self.folder / out / "events.jsonl").read_text().splitlines()]


def unpack(samples: Mapping[str, Any]) -> np.ndarray:
    """Samples of a result, in ns."""
    return np.frombuffer(zlib.decompress(base64.b64decode(samples["data"])), dtype="<u8")


def write_network(folder: Path) -> None:
    """A network, its inputs and its reference in doubles."""
    generator = np.random.default_rng(0)
    weights = [
        (generator.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32) for a, b in itertools.pairwise(LAYERS)
    ]
    inputs = generator.standard_normal((SAMPLES, LAYERS[0])).astype(np.float32)
    values = inputs.astype(np.float64)
    for number, weight in enumerate(weights):
        values = values @ weight.astype(np.float64)
        values = values if number == len(weights) - 1 else np.maximum(values, 0)
    np.savez(folder / "model.npz", **{f"w{n}": weight for n, weight in enumerate(weights)})
    np.savez(folder / "inputs.npz", x=inputs)
    np.savez(folder / "reference.npz", y=values)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """The runner under this Python."""
    write_network(tmp_path)
    return Trial(tmp_path)


@pytest.fixture
def samples_of() -> Callable[[Mapping[str, Any]], np.ndarray]:
    """Unpacks the samples of a result."""
    return unpack


@pytest.fixture
def runner_path() -> Path:
    """The folder of the runner's modules."""
    return RUNNERS


@pytest.fixture(params=["oldest", "newest"])
def other_trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """The runner under the oldest and the newest Python that is there and has (or can get) numpy."""
    found = pythons()
    if not found:
        pytest.skip("no Python 3.6 to 3.13 found on PATH, in PYENV_ROOT or in INFERMATRIX_TEST_PYTHONS")
    minor = min(found) if request.param == "oldest" else max(found)
    cache = Path(request.config.cache.mkdir("runner-pythons"))
    python = with_numpy(found[minor], cache / f"3.{minor}")
    write_network(tmp_path)
    return Trial(tmp_path, python=python)


@lru_cache(maxsize=1)
def pythons() -> dict[int, str]:
    """Minor version → interpreter that really starts."""
    named = [path for path in os.environ.get("INFERMATRIX_TEST_PYTHONS", "").split(os.pathsep) if path]
    named += [found for minor in MINORS if (found := shutil.which(f"python3.{minor}"))]
    if root := os.environ.get("PYENV_ROOT"):  # pyenv's commands on PATH start only the versions that it was told to
        named += [str(path) for path in sorted(Path(root).glob("versions/3.*/bin/python"))]
    found_minors: dict[int, str] = {}
    for path in named:
        asked = "import sys; print(sys.version_info[0], sys.version_info[1])"
        try:
            answer = subprocess.run([path, "-c", asked], capture_output=True, text=True, timeout=30, check=True).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if answer[:1] == ["3"] and int(answer[1]) in MINORS:
            found_minors.setdefault(int(answer[1]), path)
    return found_minors


def with_numpy(python: str, venv: Path) -> str:
    """`python` itself if it has what the runner needs, else a virtual environment of it, kept between test runs."""
    for candidate in (python, str(venv / "bin" / "python")):
        asked = [candidate, "-c", f"import {', '.join(NEEDED)}"]
        if Path(candidate).exists() and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return candidate
    steps = ([python, "-m", "venv", "--clear", str(venv)],
             [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", NEEDED[0],
              f"{NEEDED[1]}; python_version < '3.7'"])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"{python} has no numpy and cannot get it: {reason}")
    return str(venv / "bin" / "python")
