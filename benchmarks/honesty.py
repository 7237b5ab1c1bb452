"""Does the program call equal things equal, and find a planted slowdown? Counted on this machine, with real backends.

    python -m benchmarks.honesty [--runs 10] [--percent 10] [--isolation docker]

Each run is a fresh `infermatrix run` of its own: the same backend under two names (A/A), and the same backend beside
one whose every inference takes a planted percentage longer (`tests/planted/slower`). Profile `quick`, minimum effect 2 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MATRIX = """\
name: honesty
profile: quick
isolation: {isolation}
models: [{models}]
backends: [{rows}]
threads: [all]
batch: [8]
"""
AA = "{label: one, backend: onnxruntime}, {label: other, backend: onnxruntime}"
PLANTED = "{label: real, backend: onnxruntime}, {label: slow, backend: slower, settings: {percent: %g}}"


def measure(rows: str, isolation: str, models: str) -> dict[str, Any]:
    """One whole run in a folder of its own; its matrix."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "matrix.yaml"
        config.write_text(MATRIX.format(rows=rows, isolation=isolation, models=models))
        command = [sys.executable, "-m", "orchestrator.cli.main", "run", "-c", str(config), "--out", f"{folder}/out", "--quiet",
                   "--backends", str(ROOT / "tests" / "planted"), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stderr)
        return dict(json.loads((Path(folder) / "out" / "matrix.json").read_text()))


def main() -> None:
    """Print a table: comparisons tied, decided rightly, decided wrongly, not decidable."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--percent", type=float, default=10.0)
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--models", default="spam, mobilenet_v2")
    options = parser.parse_args()
    wrong_runs = 0
    for title, rows, right in (("A/A", AA, ()), (f"planted {options.percent:g} %", PLANTED % options.percent, ("real-",))):
        counts: Counter[str] = Counter()
        pairs: Counter[int] = Counter()
        for number in range(options.runs):
            matrix = measure(rows, options.isolation, options.models)
            kinds = [_kind(comparison, right) for comparison in matrix["comparisons"]]
            wrong_runs += "wrong" in kinds
            counts.update(kinds)
            pairs.update(comparison["pairs"] for comparison in matrix["comparisons"])
            ratios = ", ".join(f"{c['ratio']:.3f}" if c["ratio"] else "–" for c in matrix["comparisons"])
            print(f"{title}, run {number + 1}: {', '.join(kinds)} (ratios {ratios})", flush=True)
        total = sum(counts.values())
        print(f"{title}: {total} comparisons in {options.runs} runs: {dict(counts)}; pairs each: {dict(sorted(pairs.items()))}")
    sys.exit(1 if wrong_runs else 0)


def _kind(comparison: dict[str, Any], right: tuple[str, ...]) -> str:
    if comparison["ci"] is None:
        return "too few pairs"
    if not comparison["decided"]:
        return "tied"
    return "right" if right and str(comparison["faster"]).startswith(right) else "wrong"


if __name__ == "__main__":
    main()
