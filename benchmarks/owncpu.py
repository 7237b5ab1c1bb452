"""The CPU that everything but the trial uses while a trial measures: orchestrator, engine, container runtime.

    python -m benchmarks.owncpu [--isolation docker] [--seconds 10]

One cell is measured for long. In the middle of its timed loop the CPU time of every process that is not the trial's is
read twice, `--seconds` apart: orchestrator, dockerd, containerd, its shim, and the whole machine less the trial's own.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.programrun import ROOT, command

MATRIX = """\
name: owncpu
profile: {{extends: quick, trials: 3, min_duration_s: {seconds}, max_iterations: 1000000000, max_cell_s: {limit}}}
isolation: {isolation}
models: [mobilenet_v2]
backends: [onnxruntime]
scenarios: [single_stream]
"""
ENGINE = ("dockerd", "containerd", "containerd-shim")


def main() -> None:
    """Print the share of one core, by process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        long = options.seconds + 10
        (folder / "matrix.yaml").write_text(MATRIX.format(seconds=long, limit=2 * long, isolation=options.isolation))
        running = subprocess.Popen(command(folder), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            trial = _wait_for_trial(running)
            time.sleep(4)  # import, load and warm-up are over
            shares = _shares(running.pid, trial, options.seconds)
        finally:
            running.terminate()
            running.communicate()
    for name, share in sorted(shares.items()):
        print(f"{name}: {share:.2%} of a core over {options.seconds:g} s")
    print(f"all of it: {sum(shares.values()):.2%} of a core")


def _wait_for_trial(running: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if running.poll() is not None:
            raise SystemExit(running.communicate()[1])
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if any(part.endswith("runners/run.py") for part in line) and "python" in line[0] and process.cpu_percent(0.2) > 50:
                return int(process.pid)
        time.sleep(0.2)
    raise SystemExit("no trial began within 300 s")


def _shares(orchestrator: int, trial: int, seconds: float) -> dict[str, float]:
    """CPU seconds per second by name; what the trial and its helper use is left out."""
    watched = {"orchestrator": [psutil.Process(orchestrator)]}
    for process in psutil.process_iter(["name"]):
        name = next((known for known in ENGINE if str(process.info["name"]).startswith(known)), None)
        if name is not None:
            watched.setdefault(name, []).append(process)
    helpers = psutil.Process(trial).children(recursive=True)
    watched["the trial's probe, asleep"] = helpers
    before = {name: sum(map(_cpu, processes)) for name, processes in watched.items()}
    time.sleep(seconds)
    return {name: (sum(map(_cpu, processes)) - before[name]) / seconds for name, processes in watched.items()}


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
