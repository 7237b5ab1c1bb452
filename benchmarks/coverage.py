"""Do the intervals hold what they promise on this machine, its state switches included? Simulated runs from recorded trials.

    python -m benchmarks.coverage record [--trials 160] [--out benchmarks/traces/NAME.json]   one cell after another, for minutes
    python -m benchmarks.coverage check  [benchmarks/traces/*.json] [--runs 400]

A trace is a long series of real trials of one backend on a model, in their order, with the probes that bracketed each. A
simulated run takes two neighbours for each round, deals them out to two rows by lot, makes one row slower by a known factor,
and puts the records through the program's own merge: gate, states, estimates, comparisons. Its rounds follow one another at
once, as in a matrix of two rows, or lie apart, as where many others are measured between. Nothing but the factor differs
between the rows, so the true ratio is known exactly; a cell's true latency is the median of all trials of the trace in the
state that the program says it measured in. Stretches overlap, so the shares are of one trace on one machine, and their
uncertainty is that of some tens of independent runs, not of hundreds.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.programrun import Setup, measure, share
from orchestrator.merge.matrix import Weighed, weigh
from orchestrator.merge.samples import decode_samples
from orchestrator.merge.statistics import median
from orchestrator.model import Cell
from tests.merge.fabricate import make_cell, make_record

TRACES = Path(__file__).with_name("traces")
SCHEMA = "infermatrix.trace/1"
FACTORS = (1.0, 1.1)
SPACINGS = (2, 8)  # trials from the beginning of one round to that of the next
ROUNDS = (3, 5, 10)
PROBES = ("compute_ms", "compute_best_ms", "memory_gbps", "core_to_core_ns")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One recorded trial: its median latency, and the machine before and after it."""

    p50_ms: float
    probes: Mapping[str, Mapping[str, float | None]]

    def probes_anew(self) -> dict[str, dict[str, float | None]]:
        """A copy, as a record holds it."""
        return {end: dict(found) for end, found in self.probes.items()}


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Trials of one cell in the order in which they ran."""

    title: str
    trials: tuple[Trial, ...]


def main() -> None:
    """Record a trace, or print coverage by trace, trials per cell and planted factor."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["record", "check"])
    parser.add_argument("traces", nargs="*", type=Path)
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--models", default="spam, mobilenet_v2")
    parser.add_argument("--isolation", default="venv")
    parser.add_argument("--out", type=Path, default=TRACES / f"{platform.node() or 'machine'}.json")
    parser.add_argument("--runs", type=int, default=400)
    options = parser.parse_args()
    if options.what == "record":
        record(options.out, Setup(models=options.models, isolation=options.isolation, trials=options.trials))
        return
    for path in options.traces or sorted(TRACES.glob("*.json")):
        print(f"\n{path.name}")
        for trace in read(path):
            report(trace, options.runs)


def record(out: Path, setup: Setup) -> None:
    """One row measured over and over; what is needed of its records, in one file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "trace"
        matrix = measure(folder, "trace", ["onnxruntime"], setup)
        records = [json.loads(path.read_text()) for path in (folder / "out" / "records").glob("*.json")]
    host = matrix["hosts"][0]
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for one in records:
        if one["status"] == "ok" and not one["trial"]["anchor"]:
            cell = one["cell"]
            title = f"{cell['label']} × {cell['model']}, {cell['scenario']}, batch {cell['batch']}"
            probes = {end: {name: one["result"]["probes"][end].get(name) for name in PROBES} for end in ("start", "end")}
            p50 = median(decode_samples(one["measurement"]["samples"]).tolist()) / 1e6
            found.setdefault(title, []).append((one["started"], {"p50_ms": p50, "probes": probes}))
    cells = {title: [trial for _, trial in sorted(trials, key=lambda pair: pair[0])] for title, trials in sorted(found.items())}
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {name: host.get(name) for name in ("cpu", "cpus", "kernel")}
    out.write_text(json.dumps({"schema": SCHEMA, "host": about, "cells": cells}) + "\n")
    print(f"{out}: " + ", ".join(f"{len(trials)} trials of {title}" for title, trials in cells.items()))


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file."""
    for title, trials in json.loads(path.read_text())["cells"].items():
        yield Trace(title=title, trials=tuple(Trial(p50_ms=one["p50_ms"], probes=one["probes"]) for one in trials))


def report(trace: Trace, runs: int) -> None:
    """Coverage of one trace, a line per number of rounds and factor."""
    truth = long_run(trace)
    states = ", ".join(f"{count} at {ns:.0f} ns" for ns, (_, count) in sorted(truth.items()))
    flips = sum(1 for a, b in zip(trace.trials, trace.trials[1:], strict=False) if apart(core_ns(a), core_ns(b)))
    print(f"  {trace.title}: {len(trace.trials)} trials; states: {states}; {flips} changes of state")
    total: Counter[str] = Counter()
    for rounds, spacing, factor in product(ROUNDS, SPACINGS, FACTORS):
        if rounds * spacing > len(trace.trials):
            continue
        counts = simulate(trace, truth, rounds=rounds, spacing=spacing, factor=factor, runs=runs)
        total.update(counts)
        print(f"    {rounds:2} rounds {spacing} trials apart, ratio {factor}: {said(counts)}; right winner {counts['right']}")
    print(f"    in all: {said(total)}")


def said(counts: Counter[str]) -> str:
    """One line of what was counted."""
    return (f"ratio inside {share(counts['covered'], counts['intervals'])}, no interval in {counts['none']} of {counts['runs']}, "
            f"wrong winner {share(counts['wrong'], counts['runs'])}, "
            f"latency inside {share(counts['latency_covered'], counts['latencies'])}")


def simulate(
    trace: Trace, truth: Mapping[float, tuple[float, int]], *, rounds: int, factor: float, runs: int, spacing: int = 2
) -> Counter[str]:
    """How often intervals held the truth; `factor`: by how much row b is slower than row a."""
    rng, counts = random.Random(f"{trace.title} {rounds} {spacing} {factor}"), Counter[str](runs=runs)
    cells = make_cell("a"), make_cell("b")
    for _ in range(runs):
        first = rng.randrange(len(trace.trials) - (rounds - 1) * spacing - 1)
        stretch = [trace.trials[first + number * spacing + place] for number in range(rounds) for place in (0, 1)]
        found = weigh(list(records_of(cells, stretch, factor, rng)), cells, asked=rounds)
        (comparison,) = found.comparisons or (None,)
        if comparison is None or comparison.interval is None:
            counts["none"] += 1
        else:
            low, high = comparison.interval
            counts["intervals"] += 1
            counts["covered"] += low <= 1 / factor <= high
        if comparison is not None and comparison.faster is not None:
            counts["right" if factor > 1 and comparison.faster == cells[0].id else "wrong"] += 1
        count_latencies(found, truth, {cells[0].id: 1.0, cells[1].id: factor}, counts)
    return counts


def records_of(cells: Sequence[Cell], stretch: Sequence[Trial], factor: float, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Two trials a round, one of each row, in an order by lot."""
    for number in range(len(stretch) // 2):
        order = rng.sample((0, 1), 2)
        for place, row in enumerate(order):
            trial = stretch[2 * number + place]
            scale = factor if row else 1.0
            made = make_record(cells[row], number, trial.p50_ms * scale, probes=trial.probes_anew())
            made["started"] = f"2025-01-01T{number:04}.{place}"
            yield made


def count_latencies(
    found: Weighed, truth: Mapping[float, tuple[float, int]], scales: Mapping[str, float], counts: Counter[str]
) -> None:
    """Whether each cell's 95 % interval of its latency holds the long run's median in the same state."""
    where = {state.id: state.core_to_core_ns for state in found.gate.states}
    for one in found.estimates:
        interval = one.cell["metrics"]["latency_ms"]["ci95"]
        ns = where.get(one.cell["state"])
        if interval is None or ns is None:
            continue
        nearest = min(truth, key=lambda known: abs(math.log(known / ns)))
        counts["latencies"] += 1
        counts["latency_covered"] += interval[0] <= truth[nearest][0] * scales[one.cell["id"]] <= interval[1]


def long_run(trace: Trace) -> dict[float, tuple[float, int]]:
    """Round trip of a machine state in ns → (median latency in ms, trials), over the whole trace, by the program's gate."""
    cell = make_cell("whole")
    records = [make_record(cell, number, trial.p50_ms, probes=trial.probes_anew()) for number, trial in enumerate(trace.trials)]
    found = weigh(records, [cell], asked=len(records))
    series = found.estimates[0].series
    assert series is not None
    known = {state.id: state.core_to_core_ns for state in found.gate.states}
    return {ns: (median(list(medians.values())), len(medians)) for state, medians in series.medians_ms.items()
            if (ns := known.get(state)) is not None}


def core_ns(trial: Trial) -> float | None:
    """The round trip between cores before the trial."""
    return trial.probes["start"].get("core_to_core_ns")


def apart(a: float | None, b: float | None) -> bool:
    """Whether two round trips are of different states."""
    return a is not None and b is not None and abs(math.log(a / b)) > math.log(1.5)


if __name__ == "__main__":
    main()
