"""What trials have cost so far, from their records: what more of them will cost, and how much of a budget is spent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.merge.conditions import TrialKey, trial_key
from orchestrator.merge.statistics import median
from orchestrator.model import Scenario

_ORDER = {scenario.value: index for index, scenario in enumerate(Scenario)}
_OWN = ("first_inference_ms", "warmup_ms", "measure_ms")


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """Seconds of a trial of one spec: what it costs whatever it measures, and each of its cells, in their order."""

    overhead_s: float
    cells_s: Mapping[str, float]

    def up_to(self, cell: str) -> float:
        """Seconds of a trial that ends with this cell; those before it in the spec are measured as ever."""
        total = self.overhead_s
        for name, seconds in self.cells_s.items():
            total += seconds
            if name == cell:
                break
        return total


def trial_costs(records: Iterable[Mapping[str, Any]]) -> dict[str, TrialCost]:
    """Spec id → its cost, medians over the trials that gave a measurement; specs without any are left out."""
    walls: dict[str, dict[TrialKey, float]] = defaultdict(dict)
    own: dict[str, dict[TrialKey, float]] = defaultdict(lambda: defaultdict(float))
    cells: dict[str, dict[tuple[int, int, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        trial, cell, found = record["trial"], record["cell"], record.get("measurement")
        if trial.get("anchor") or not found or record.get("wall_s") is None:
            continue
        spec, key = str(trial["spec"]), trial_key(record)
        seconds = sum(float(found.get(name) or 0.0) for name in _OWN) / 1e3
        walls[spec][key] = float(record["wall_s"])
        own[spec][key] += seconds
        cells[spec][_ORDER.get(str(cell["scenario"]), 0), int(cell["batch"]), str(cell["id"])].append(seconds)
    return {
        spec: TrialCost(
            overhead_s=max(0.0, median([wall - own[spec][key] for key, wall in found.items()])),
            cells_s={key[2]: median(seconds) for key, seconds in sorted(cells[spec].items())},
        )
        for spec, found in walls.items()
    }


def cell_costs(costs: Mapping[str, TrialCost]) -> dict[str, float]:
    """Cell id → seconds of one more trial of it."""
    return {cell: cost.up_to(cell) for cost in costs.values() for cell in cost.cells_s}


def spent_s(records: Iterable[Mapping[str, Any]]) -> float:
    """Seconds that all trials of these records took, each counted once; anchors and trials that do not count included."""
    taken = {trial_key(record): float(record.get("trial_s") or record.get("wall_s") or 0.0) for record in records}
    return sum(taken.values())
