"""Every backend of the project on a built-in model, in its own image: what `make matrix` does, on the smallest model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.backends import load_registry

IMAGES = Path(__file__).parents[2] / "images"
pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1800)]


def test_every_backend_answers_rightly_in_its_container(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "orchestrator.cli.main", "run", "spam", "--isolation", "docker", "--out", str(tmp_path / "out"),
        "--set", "trials=3", "--set", "profile.min_duration_s=0.05", "--set", "batch=4",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode in (0, 1), done.stderr
    matrix = json.loads((tmp_path / "out" / "matrix.json").read_text())
    found = {(cell["backend"], cell["scenario"]): cell for cell in matrix["cells"]}
    assert {backend for backend, _ in found} == set(load_registry(IMAGES))
    for cell in found.values():
        assert cell["status"] in ("ok", "unstable"), (cell["id"], cell["status"], cell["reason"], done.stderr[-2000:])
        assert cell["fidelity"]["rel_l2"] < 1e-3
        assert cell["evidence"]["executed_on"]
        assert cell["isolation"] == "docker"
