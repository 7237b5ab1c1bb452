"""A machine that something else disturbs for part of a run: is it noticed, left out, and survived?

    python -m benchmarks.disturbed [--runs 3] [--models mobilenet_v2] [--load 2]

One row, a copy of it, and one that is 10 % slower. While the middle third of the run lasts, as many processes as `--load`
says multiply matrices on all cores (what a colleague's job, a backup or an indexer does). Printed: how many trials ran
beside the load, how many of these the program left out, how many it left out of the others, and what it decided.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.programrun import Setup, command, labels, read_matrix, write_matrix

ROWS = ("{label: real, backend: onnxruntime}", "{label: copy, backend: onnxruntime}",
        "{label: slow10, backend: slower, settings: {percent: 10}}")
BURN = "import numpy as np\na = np.random.rand(400, 400)\nwhile True:\n    a = a @ a % 1.0 + 0.1\n"


def main() -> None:
    """Print what happened in each run; exit code 1 where a winner was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--load", type=int, default=2)
    parser.add_argument("--models", default="mobilenet_v2")
    parser.add_argument("--isolation", default="auto")
    options = parser.parse_args()
    setup = Setup(models=options.models, isolation=options.isolation, trials=options.trials)
    trials, decisions = Counter[str](), Counter[str]()
    for number in range(options.runs):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            write_matrix(folder, "disturbed", ROWS, setup)
            begin, end = _run_beside_load(folder, options.load, len(ROWS) * options.trials)
            found, judged = _beside(folder, begin, end), _judge(read_matrix(folder))
            trials.update(found)
            decisions.update(judged)
            print(f"run {number + 1}: load for {end - begin:.0f} s; {dict(found)}; {dict(judged)}", flush=True)
    print(f"trials: {dict(trials)}\ndecisions: {dict(decisions)}")
    sys.exit(1 if decisions["A/A called a winner"] or decisions["10 %: wrong direction"] else 0)


def _run_beside_load(folder: Path, processes: int, trials: int) -> tuple[float, float]:
    """Run the program; load from a third of the trials to two thirds. Returns when the load ran, as Unix times."""
    running = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    load: list[subprocess.Popen[bytes]] = []
    begin = end = 0.0
    try:
        while running.poll() is None:
            done = sum(1 for _ in (folder / "out" / "records").glob("*single_stream*"))
            if not load and begin == 0.0 and done >= trials // 3:
                begin = time.time()
                load = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(processes)]
            if load and done >= 2 * trials // 3:
                end = _stop(load)
            time.sleep(0.1)
    finally:
        end = _stop(load) if load else end
        if running.poll() is None:
            running.terminate()
        _, said = running.communicate()
    if running.returncode not in (0, 1):
        raise SystemExit(said)
    return begin, end


def _stop(load: list[subprocess.Popen[bytes]]) -> float:
    for process in load:
        process.kill()
        process.wait()
    load.clear()
    return time.time()


def _beside(folder: Path, begin: float, end: float) -> Counter[str]:
    """Trials by whether they ran beside the load, and whether the merged matrix counts them."""
    matrix = read_matrix(folder)
    left_out = {(cell["id"], item["trial"], item["attempt"]) for cell in matrix["cells"] for item in cell["trials"]["invalid"]}
    counts: Counter[str] = Counter()
    for path in sorted((folder / "out" / "records").glob("*.json")):
        record: dict[str, Any] = json.loads(path.read_text())
        if record["trial"]["anchor"] or record["status"] != "ok":
            continue
        started = datetime.fromisoformat(record["started"]).timestamp()
        overlap = min(end, started + record["wall_s"]) - max(begin, started)
        where = "beside the load" if overlap > 0.5 * record["wall_s"] else "partly beside it" if overlap > 0 else "undisturbed"
        out = (record["cell"]["id"], record["trial"]["index"], record["trial"]["attempt"]) in left_out
        counts[f"{where}, {'left out' if out else 'counted'}"] += 1
    return counts


def _judge(matrix: dict[str, Any]) -> Counter[str]:
    names = labels(matrix)
    counts: Counter[str] = Counter()
    for comparison in matrix["comparisons"]:
        pair = {names[comparison["a"]], names[comparison["b"]]}
        if pair == {"real", "copy"}:
            counts["A/A called a winner" if comparison["decided"] else "A/A not told apart"] += 1
        elif not comparison["decided"]:
            counts["10 %: undecided"] += 1
        else:
            counts["10 %: wrong direction" if names[str(comparison["faster"])] == "slow10" else "10 %: found"] += 1
    return counts


if __name__ == "__main__":
    main()
