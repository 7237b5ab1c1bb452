"""A small real model, a quick matrix over it, and the program as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PLANTED = Path(__file__).parents[1] / "planted"
MATRIX = """\
name: small
profile: {{extends: quick, trials: 3, min_duration_s: 0.05, warmup_s: 0.02}}
isolation: {isolation}
models: [{{name: mlp, path: mlp.onnx}}]
threads: [1]
batch: [4]
backends:
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    """`infermatrix`, started in a folder of its own."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line as a list."""
        return [sys.executable, "-m", "orchestrator.cli.main", *arguments, "--backends", str(PLANTED)]

    def run(self, *arguments: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command("run", "-c", "matrix.yaml", "--out", "out", *arguments), cwd=self.folder, capture_output=True, text=True,
            timeout=timeout, check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start and go on."""
        return subprocess.Popen(
            self.command("run", "-c", "matrix.yaml", "--out", "out", *arguments), cwd=self.folder, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )

    def matrix(self) -> dict[str, Any]:
        """The matrix of the run."""
        return dict(json.loads((self.folder / "out" / "matrix.json").read_text()))

    def statuses(self) -> dict[str, set[str]]:
        """Statuses by label."""
        found: dict[str, set[str]] = {}
        for cell in self.matrix()["cells"]:
            found.setdefault(cell["label"], set()).add(cell["status"])
        return found

    def measured(self, *labels: str) -> bool:
        """Whether these rows, and no others, were measured and none found wanting.

        A machine that is busy with something else may leave every trial of a cell invalid; that is no fault of the program.
        """
        return set(self.statuses()) == set(labels) and set().union(*self.statuses().values()) <= {"ok", "unstable"}

    def records(self) -> list[str]:
        """Names of record files."""
        return sorted(path.name for path in (self.folder / "out" / "records").glob("*.json"))


def write_mlp(path: Path) -> None:
    """200-64-8 with ReLU, free batch, seeded weights."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) / 14 for shape in ((200, 64), (64, 8))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 200])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
