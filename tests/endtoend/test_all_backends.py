"""Every backend of the project on a built-in model, in its own image: what `make matrix` does, on the smallest model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.backends import load_registry

IMAGES = Path(__file__).parents[2] / "images"
MATRIX = """\
name: all
profile: {extends: quick, trials: 3, min_duration_s: 0.05, warmup_s: 0.02}
isolation: docker
models: [spam]
backends:
  - onnxruntime
  - openvino
  - ncnn
  - torch
  - {label: torch-jit, backend: torch, settings: {mode: jit}}
  - {label: torch-compile, backend: torch, settings: {mode: compile}}
batch: [4]
"""
pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1800)]


def test_every_backend_answers_rightly_in_its_container(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    command = [
        sys.executable, "-m", "orchestrator.cli.main", "run", "-c", str(tmp_path / "matrix.yaml"), "--out", str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode in (0, 1), done.stderr
    matrix = json.loads((tmp_path / "out" / "matrix.json").read_text())
    assert {cell["backend"] for cell in matrix["cells"]} == set(load_registry(IMAGES))
    assert len(matrix["cells"]) == 12
    for cell in matrix["cells"]:
        assert cell["status"] in ("ok", "unstable"), (cell["id"], cell["status"], cell["reason"], done.stderr[-2000:])
        assert cell["fidelity"]["rel_l2"] < 1e-3
        assert cell["evidence"]["executed_on"]
        assert cell["isolation"] == "docker"
