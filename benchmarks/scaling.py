"""Planning 100,000 cells and merging 10,000 records: how long at three sizes, and does time grow as the work does?

    python -m benchmarks.scaling [--part plan|merge|report] [--repeats 3] [--json]

Each part is done at a tenth, a third and the whole of its target, in this process, and the least CPU time of the repeats
is kept, so that other work on the machine hardly shows (it shows in the wall time, which is printed beside it). The
exponent is the slope of log(time) over log(size): 1 is linear, 2 quadratic. `infermatrix merge` of the full size is also
run as a whole process, imports and all.

plan    a matrix.yaml of 100,000 cells: reading it, planning (cells, trials, order, estimate), every cell's id
merge   10,000 records of realistic content (500 samples each, 4 backends × 5 columns per model, two machine states):
        reading the files, merging them, writing matrix.json
report  the matrix of 2,000 cells that this gives: report.html, report.md, matrix.csv, matrix.parquet
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import records
from orchestrator.backends import load_registry
from orchestrator.config.machine import Machine
from orchestrator.config.matrix import load_matrix
from orchestrator.plan.plan import make_plan
from orchestrator.records import write_atomically
from orchestrator.report.write import write_reports
from orchestrator.rundir import merge_again

ROOT = Path(__file__).resolve().parents[1]
SHARES = (0.1, 1 / 3, 1.0)
CELLS, RECORDS = 100_000, 10_000
LIMITS_S = {"plan": 2.0, "merge": 3.0}
PER_PLANNED_MODEL = 4 * 2 * 25  # backends × threads × (single_stream and 24 batches)
MACHINE = Machine(cpus=(0, 1), memory_mb=8000)
EXPONENT_LIMIT = 1.15


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size: items, and the least CPU and wall seconds for all of them."""

    size: int
    cpu_s: float
    wall_s: float


def exponent(points: list[Point]) -> float:
    """Least-squares slope of log(CPU time) over log(size)."""
    xs, ys = [math.log(point.size) for point in points], [math.log(point.cpu_s) for point in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def measure(size: int, work: Callable[[], object], repeats: int) -> Point:
    """The best of some repeats, CPU and wall apart."""
    cpu, wall = [], []
    for _ in range(repeats):
        cpu_begin, wall_begin = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - cpu_begin)
        wall.append(time.perf_counter() - wall_begin)
    return Point(size=size, cpu_s=min(cpu), wall_s=min(wall))


def plan_file(folder: Path, cells: int) -> tuple[Path, list[str]]:
    """A matrix.yaml of about so many cells, and the names that its models have."""
    models = [f"model_{number:04d}" for number in range(max(1, round(cells / PER_PLANNED_MODEL)))]
    path = folder / f"plan-{cells}.yaml"
    path.write_text(
        f"name: scaling\nmodels: [{', '.join(models)}]\nbackends: [onnxruntime, openvino, torch, ncnn]\nthreads: [1, 2]\n"
        f"scenarios: [single_stream, offline]\nbatch: [{', '.join(str(8 * n) for n in range(1, 25))}]\n")
    return path, models


def plan_points(folder: Path, repeats: int) -> list[Point]:
    """Reading, planning, ids."""
    registry = load_registry(ROOT / "images")
    points = []
    for share in SHARES:
        path, models = plan_file(folder, round(CELLS * share))

        def work(path: Path = path, models: list[str] = models) -> int:
            plan = make_plan(load_matrix(path, registry, models=models, machine=MACHINE), registry)
            return len({cell.id for cell in plan.cells})

        points.append(measure(work(), work, repeats))
    return points


def run_folders(folder: Path) -> list[tuple[int, Path]]:
    """Run directories with a tenth, a third and all of the records."""
    found = []
    for share in SHARES:
        planned = records.cells(round(RECORDS * share / records.PER_MODEL))
        target = folder / f"run-{len(planned)}"
        records.write_run(target, planned)
        found.append((len(planned) * records.TRIALS, target))
    return found


def merge_points(runs: list[tuple[int, Path]], repeats: int) -> list[Point]:
    """Record files → matrix.json on disk."""
    def work(target: Path) -> None:
        write_atomically(target / "matrix.json", json.dumps(merge_again(target), allow_nan=False).encode())

    work(runs[0][1])  # scipy is imported here, once
    return [measure(count, lambda target=target: work(target), repeats) for count, target in runs]  # type: ignore[misc]


def report_points(runs: list[tuple[int, Path]], repeats: int) -> list[Point]:
    """All four files of a matrix that is in memory."""
    points = []
    for _, target in runs:
        matrix = merge_again(target)
        write_reports(matrix, target)  # pyarrow is imported here, once
        points.append(measure(len(matrix["cells"]), lambda matrix=matrix, at=target: write_reports(matrix, at), repeats))  # type: ignore[misc]
        html = (target / "report.html").stat().st_size
        count = len(matrix["cells"])
        print(f"report.html of {count:,} cells: {html / 1e6:.2f} MB, {html / count:,.0f} bytes each")
    return points


def whole_process(arguments: list[str]) -> tuple[float, float]:
    """(CPU, wall) seconds of one command."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "orchestrator.cli.main", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - begin


def show(name: str, unit: str, points: list[Point]) -> dict[str, Any]:
    """Print one part's table; returns it as JSON."""
    slope, limit = exponent(points), LIMITS_S.get(name)
    print(f"\n{name} (in-process)   {unit:>10}   CPU s   wall s   CPU µs each")
    for point in points:
        print(f"{'':22}{point.size:>10,}{point.cpu_s:>9.2f}{point.wall_s:>9.2f}{point.cpu_s / point.size * 1e6:>13.1f}")
    asked = f"; asked for at full size: ≤ {limit:g} s" if limit else ""
    print(f"exponent {slope:.2f}{asked}")
    return {"unit": unit, "exponent": slope, "limit_s": limit, "points": [vars(point) for point in points]}


def main() -> int:
    """Print the tables; exit code 1 where time grows faster than the work or a limit on CPU time is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["plan", "merge", "report"], action="append", help="default: all three")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    parts = options.part or ["plan", "merge", "report"]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "plan" in parts:
            found["plan"] = show("plan", "cells", plan_points(folder, options.repeats))
        if {"merge", "report"} & set(parts):
            runs = run_folders(folder)
        if "merge" in parts:
            found["merge"] = show("merge", "records", merge_points(runs, options.repeats))
        if "report" in parts:
            found["report"] = show("report", "cells", report_points(runs, options.repeats))
        if "merge" in parts:
            cpu, wall = whole_process(["merge", str(runs[-1][1])])
            print(f"\n`infermatrix merge` of {runs[-1][0]:,} records, reports included, as a whole process: "
                  f"{cpu:.2f} s of CPU, {wall:.2f} s of wall time")
    if options.json:
        print(json.dumps(found))
    good = all(part["exponent"] <= EXPONENT_LIMIT and part["points"][-1]["cpu_s"] <= (part["limit_s"] or math.inf)
               for part in found.values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
