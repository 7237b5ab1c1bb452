"""What the orchestrator costs beside the trials: wall time against the trials' own phases, and a run with nothing to do.

    python -m benchmarks.cost [--isolation docker] [--part warm|default|again]

1. One warm `quick` run (environments and models are there): wall time of the measuring loop ÷ the sum of the trials' own phases
   (start, import, load, compile, first inference, warm-up, measure), part by part (`benchmarks.breakdown`).
2. The same of the default matrix, with warm images (five minutes; only with `--part default`).
3. A matrix of 1,000 cells is measured once, quickly; then the same command again, which has nothing to do, is timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.breakdown import break_down, lines
from orchestrator.records import RecordStore

ROOT = Path(__file__).resolve().parents[1]
WARM = """\
name: warm
profile: quick
models: [spam, mobilenet_v2]
backends: [onnxruntime, openvino, ncnn]
batch: [8]
"""
MANY = """\
name: many
profile: {{extends: quick, trials: 3, min_duration_s: 0.001, warmup_s: 0.001}}
models: [spam]
backends: [{rows}]
batch: [{batches}]
"""


def run(config: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Seconds that the whole command took, and what it says as JSON."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.main", "run", "-c", str(config), "--json", "--quiet", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--part", choices=["warm", "default", "again"], action="append", help="default: warm and again")
    options = parser.parse_args()
    isolation, parts = options.isolation, options.part or ["warm", "again"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "warm" in parts:
            config = folder / "warm.yaml"
            config.write_text(WARM)
            run(config, "--isolation", isolation, "--out", f"{folder}/cold")
            _tell("warm run", *run(config, "--isolation", isolation, "--out", f"{folder}/warm"))
        if "default" in parts:
            _tell("default matrix", *run(ROOT / "matrix.yaml", "--isolation", isolation, "--out", f"{folder}/default"))
        if "again" not in parts:
            return
        config = folder / "many.yaml"
        rows = ", ".join(f"{{label: row{number}, backend: onnxruntime}}" for number in range(4))
        config.write_text(MANY.format(rows=rows, batches=", ".join(map(str, range(2, 251)))))
        arguments = ("--isolation", isolation, "--out", f"{folder}/many")
        first, answer = run(config, *arguments)
        for _ in range(3):  # what the machine's state spoilt is repeated until every cell is finished
            if run(config, *arguments)[1]["trials"] == 0:
                break
        again = sorted(run(config, *arguments)[0] for _ in range(5))
        print(f"{len(answer['statuses'])} cells: measured in {first:.1f} s; the same command again, as a whole process: "
              f"median {statistics.median(again):.2f} s ({again[0]:.2f}–{again[-1]:.2f}, 5 times)")


def _tell(title: str, _: float, answer: dict[str, Any]) -> None:
    """The ratio, and what is behind it."""
    wall, phases, trials = answer["wall_s"], answer["phases_s"], answer["trials"]
    print(f"{title}: {trials} trials, wall {wall:.1f} s, own phases {phases:.1f} s, ratio {wall / phases:.3f}; "
          f"per trial {phases / trials:.2f} s of phases")
    print("\n".join(lines(break_down(RecordStore(Path(answer["run"]) / "records").read_all()), wall)), flush=True)


if __name__ == "__main__":
    main()
