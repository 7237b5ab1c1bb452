"""Where the wall time of a run's trials went, part by part, from its records.

    python -m benchmarks.breakdown RUN_DIRECTORY [--wall SECONDS]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.records import RecordStore

OWN = "own phase"
PARTS: Mapping[str, tuple[str, str]] = {
    "create": ("sandbox", "container or process made ready, job handed over"),
    "remove": ("sandbox", "waiting for the removal of the trial before, which goes on while this one is created"),
    "start": ("sandbox", "container started; without an engine, the process"),
    "interpreter": (OWN, "from the process's creation to the runner's first line"),
    "probe before": ("machine state", "compute, memory and core-to-core round trip"),
    "import": (OWN, "numpy, framework, adapter"),
    "runner's modules": ("harness", "the runner's own code imported"),
    "inputs": ("harness", "the model's samples read"),
    "load": (OWN, "the backend loads the model"),
    "compile": (OWN, "and compiles it, where that is a step of its own"),
    "reference": ("harness", "the reference outputs read"),
    "batches": ("harness", "distinct batches built, garbage collected"),
    "first inference": (OWN, ""),
    "warm-up": (OWN, ""),
    "measure": (OWN, ""),
    "verify": ("harness", "outputs compared with the reference"),
    "settle": ("machine state", "waiting until the backend's threads are idle"),
    "probe after": ("machine state", "the same three again"),
    "rest of the runner": ("harness", "arguments, forks, evidence, results written"),
    "exit and wait": ("sandbox", "from the runner's last line until the engine says that it is over"),
    "collect": ("sandbox", "result, log and exit state fetched"),
    "between trials": ("records", "result checked, state judged, records written, the next one chosen"),
}
"""Part of a trial → (what it belongs to, what it is), in the order of time."""


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Milliseconds by part over all trials, and how many trials those are."""

    trials: int
    cells: int
    ms: Mapping[str, float]

    @property
    def own_ms(self) -> float:
        """The trials' own phases."""
        return sum(value for name, value in self.ms.items() if PARTS[name][0] == OWN)

    @property
    def wall_ms(self) -> float:
        """All parts together: from the first trial's start to the last one's end."""
        return sum(self.ms.values())


def break_down(records: Iterable[Mapping[str, Any]]) -> Breakdown:
    """From the records of one run; trials without a complete result or without laps are left out, with what follows them."""
    trials: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        if record.get("started"):
            trials.setdefault((record["started"], record["trial"]["spec"]), []).append(record)
    ordered = [trials[key] for key in sorted(trials)]
    totals = dict.fromkeys(PARTS, 0.0)
    counted = [_trial(cells) for cells in ordered]
    for parts in counted:
        for name, value in (parts or {}).items():
            totals[name] += value
    for cells, parts, following in zip(ordered, counted, ordered[1:], strict=False):
        if parts is not None:
            gap = (_time(following) - _time(cells)) * 1e3 - sum(cells[0]["isolation_ms"].values())
            totals["between trials"] += max(gap, 0.0)
    whole = [cells for cells, parts in zip(ordered, counted, strict=True) if parts is not None]
    return Breakdown(trials=len(whole), cells=sum(map(len, whole)), ms=totals)


def _time(cells: Sequence[Mapping[str, Any]]) -> float:
    return datetime.fromisoformat(str(cells[0]["started"])).timestamp()


def _trial(cells: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Parts of one trial from the records of its cells; None where they do not tell."""
    laps, result = cells[0].get("isolation_ms") or {}, cells[0].get("result") or {}
    phases = result.get("phases") or {}
    if "run" not in laps or not result.get("complete") or phases.get("total_ms") is None:
        return None
    probes = result.get("probes") or {}
    measured = [record["measurement"] for record in cells if record.get("measurement")]

    def cell(name: str) -> float:
        return sum(float(one.get(name) or 0.0) for one in measured)

    def probe(end: str, name: str) -> float:
        return float((probes.get(end) or {}).get(name) or 0.0)

    inside = {
        "interpreter": phases.get("start_ms"), "probe before": probe("start", "took_ms"), "import": phases.get("import_ms"),
        "runner's modules": phases.get("modules_ms"),
        "inputs": phases.get("inputs_ms"), "load": phases.get("load_ms"), "compile": phases.get("compile_ms"),
        "reference": phases.get("reference_ms"), "batches": cell("prepare_ms"),
        "first inference": cell("first_inference_ms"), "warm-up": cell("warmup_ms"), "measure": cell("measure_ms"),
        "verify": cell("verify_ms"), "settle": probe("end", "settle_ms"), "probe after": probe("end", "took_ms"),
    }
    known = {name: float(value or 0.0) for name, value in inside.items()}
    around = {name: float(laps.get(name, 0.0)) for name in ("create", "remove", "start", "collect")}
    return {**known, **around, "rest of the runner": phases["total_ms"] - sum(known.values()),
            "exit and wait": laps["run"] - phases["total_ms"]}


def lines(found: Breakdown, wall_s: float | None = None) -> list[str]:
    """The table, the check of its sum, and what could still be shared."""
    if not found.trials:
        return ["no trial tells where its time went: its records are older than these timings"]
    own, each = found.own_ms, found.trials
    out = [f"{found.trials} trials of {found.cells} measurements, per trial:",
           f"{'part':20}{'ms':>9}{'% of own':>10}  belongs to"]
    for name, (kind, what) in PARTS.items():
        value = found.ms[name]
        out.append(f"{name:20}{value / each:>9.1f}{100 * value / own:>10.1f}  {kind}{f': {what}' if what else ''}")
    by_kind: dict[str, float] = {}
    for name, (kind, _) in PARTS.items():
        by_kind[kind] = by_kind.get(kind, 0.0) + found.ms[name]
    out += ["", "together: " + ", ".join(f"{kind} {value / each:.0f} ms" for kind, value in by_kind.items()),
            f"wall ÷ own phases: {found.wall_ms / own:.3f} ({found.wall_ms / each:.0f} ms of {own / each:.0f} ms per trial)"]
    if wall_s is not None:
        out.append(f"check: the parts are {found.wall_ms / 1e3:.2f} s, the loop took {wall_s:.2f} s "
                   f"({100 * (found.wall_ms / 1e3 / wall_s - 1):+.1f} %)")
    probes = found.ms["probe before"] / each
    return [
        *out, f"shared already: import, load and probes by the {found.cells / each:.1f} cells of a trial",
        f"could still be shared: the probe after a trial could stand for the one before the next ({probes:.0f} ms), at the price "
        "of not seeing what the start of a container does to the machine; processes, imports and loads are fresh on purpose",
    ]


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--wall", type=float, help="seconds that the loop took, as `run --json` says")
    options = parser.parse_args()
    print("\n".join(lines(break_down(RecordStore(options.run / "records").read_all()), options.wall)))


if __name__ == "__main__":
    main()
