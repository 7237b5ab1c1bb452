"""What the orchestrator costs beside the trials: wall time against the trials' own phases, and a run with nothing to do.

    python -m benchmarks.cost [--isolation docker]

1. One warm `quick` run (environments and models are there): wall time of the measuring loop ÷ the sum of the trials' own phases
   (start, import, load, compile, first inference, warm-up, measure). What is between is container start and end, both probes,
   the way in and out, and the records.
2. A matrix of 1,000 cells is measured once, quickly; then the same command again, which has nothing to do, is timed.
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
    isolation = parser.parse_args().isolation
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = folder / "warm.yaml"
        config.write_text(WARM)
        run(config, "--isolation", isolation, "--out", f"{folder}/cold")
        _, warm = run(config, "--isolation", isolation, "--out", f"{folder}/warm")
        print(f"warm run: {warm['trials']} trials, wall {warm['wall_s']:.1f} s, own phases {warm['phases_s']:.1f} s, "
              f"ratio {warm['wall_s'] / warm['phases_s']:.3f}; per trial {warm['phases_s'] / warm['trials']:.2f} s of phases")
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


if __name__ == "__main__":
    main()
