"""Backends of the project on a built-in model, each in its own image: what `make matrix` does, on the smallest model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.backends import load_registry

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "matrix.yaml").read_text())["backends"]
ON_CPUS = [name for name, spec in load_registry(ROOT / "images").items() if "cpu" in spec.devices]
MODES = [
    {"label": "torch-jit", "backend": "torch", "settings": {"mode": "jit"}},
    {"label": "torch-compile", "backend": "torch", "settings": {"mode": "compile"}},
]
pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1800)]


def cells_of(backends: list[Any], out: Path) -> list[dict[str, Any]]:
    """One quick run in containers."""
    matrix = {"name": "all", "profile": {"extends": "quick", "trials": 3, "min_duration_s": 0.05, "warmup_s": 0.02},
              "isolation": "docker", "models": ["spam"], "backends": backends, "batch": [4]}
    (out / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", "-c", str(out / "matrix.yaml"), "--out", str(out / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads((out / "out" / "matrix.json").read_text())["cells"]
    return found


def check(cell: dict[str, Any]) -> None:
    assert cell["status"] in ("ok", "unstable"), (cell["id"], cell["status"], cell["reason"], cell["log_tail"])
    assert cell["fidelity"]["rel_l2"] < 1e-3
    assert cell["evidence"]["executed_on"]
    assert cell["isolation"] == "docker"


def test_every_backend_of_the_default_matrix_answers_rightly_in_its_container(tmp_path: Path) -> None:
    cells = cells_of([*DEFAULT, *MODES], tmp_path)
    assert len(cells) == 2 * (len(DEFAULT) + len(MODES))
    for cell in cells:
        check(cell)


@pytest.mark.heavy
@pytest.mark.parametrize("backend", sorted(set(ON_CPUS) - set(DEFAULT)))
def test_every_other_backend_answers_rightly_in_its_container(backend: str, tmp_path: Path) -> None:
    cells = cells_of([backend], tmp_path)
    assert len(cells) == 2
    for cell in cells:
        check(cell)
