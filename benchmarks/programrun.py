"""One whole `infermatrix run` over a matrix of the experiment's own, in a folder that can be kept."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MATRIX = """\
name: {name}
profile: {{extends: quick, trials: {trials}}}
isolation: {isolation}
models: [{models}]
backends: [{rows}]
threads: [all]
batch: [8]
"""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all runs of an experiment have in common."""

    models: str
    isolation: str
    trials: int


def command(folder: Path) -> list[str]:
    """The command line that measures `folder`/matrix.yaml into `folder`/out."""
    return [sys.executable, "-m", "orchestrator.cli.main", "run", "-c", str(folder / "matrix.yaml"), "--out", str(folder / "out"),
            "--quiet", "--json", "--backends", str(ROOT / "tests" / "planted")]


def write_matrix(folder: Path, name: str, rows: Sequence[str], setup: Setup) -> None:
    """matrix.yaml in a folder that is made."""
    folder.mkdir(parents=True)
    text = MATRIX.format(name=name, rows=", ".join(rows), models=setup.models, isolation=setup.isolation, trials=setup.trials)
    (folder / "matrix.yaml").write_text(text)


def measure(folder: Path, name: str, rows: Sequence[str], setup: Setup) -> dict[str, Any]:
    """One whole run; its matrix. Raises SystemExit with what it said where it did not get that far."""
    write_matrix(folder, name, rows, setup)
    done = subprocess.run(command(folder), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return read_matrix(folder)


def read_matrix(folder: Path) -> dict[str, Any]:
    """matrix.json of a run."""
    return dict(json.loads((folder / "out" / "matrix.json").read_text()))


def labels(matrix: Mapping[str, Any]) -> dict[str, str]:
    """Cell id → the row's label."""
    return {str(cell["id"]): str(cell["label"]) for cell in matrix["cells"]}


def share(count: int, total: int) -> str:
    """"3 of 40 (7.5 %, 95 % CI 2.6–19.9 %)", by Wilson's interval: sound for few and for none."""
    if total == 0:
        return "none"
    z, p = 1.959964, count / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return f"{count} of {total} ({p:.1%}, 95 % CI {low:.1%} to {high:.1%})"
