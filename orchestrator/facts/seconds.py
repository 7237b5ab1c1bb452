"""How long loads take beside their timed loops: measured in some run, published in `results/seconds.json`.

Between backends this differs a hundredfold (a torch.compile, an interpreter in Python), so a plan that assumed one figure
for all would be wrong about most matrices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.model import Cell, Compiled, Status
from orchestrator.records import read_json

SCHEMA = "infermatrix.seconds/1"
FILE = "seconds.json"


@dataclass(frozen=True, kw_only=True)
class Load:
    """A backend with settings, and the model that it loads."""

    backend: str
    settings: str  # canonical JSON
    compiled: str
    precision: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds that one trial of it takes beside the cells' warm-up and timed loops; 0 where it ends before a process starts."""

    overhead_s: float
    inference_ms: float | None  # of one row; None: no cell of it was measured


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that was measured."""

    loads: Mapping[Load, Took]

    def of(self, cell: Cell) -> Took | None:
        """What the cell's load took; else, without an inference's time, the middle of the same row's other models."""
        load = _load(cell.canonical())
        return self.loads.get(load) or self._rows.get(replace(load, model=""))

    @cached_property
    def _rows(self) -> dict[Load, Took]:
        rows: dict[Load, list[float]] = {}
        for load, took in self.loads.items():
            if took.inference_ms is not None:  # a model that a backend cannot have says nothing of those that it can
                rows.setdefault(replace(load, model=""), []).append(took.overhead_s)
        return {row: Took(overhead_s=median(values), inference_ms=None) for row, values in rows.items()}


def measure(records: Iterable[Mapping[str, Any]]) -> dict[Load, Took]:
    """From a run's records; medians over trials."""
    overheads: dict[Load, list[float]] = {}
    inferences: dict[Load, list[float]] = {}
    for trial in _trials(records):
        load = _load(trial[0]["cell"])
        cells = [record["measurement"] or {} for record in trial]
        loops = sum((one.get("warmup_ms") or 0.0) + (one.get("measure_ms") or 0.0) for one in cells) / 1e3
        overheads.setdefault(load, []).append(max(0.0, float(trial[0].get("trial_s") or 0.0) - loops))
        for record in trial:
            one = record["measurement"] or {}
            if one.get("iterations") and one.get("measure_ms"):
                rows = one["iterations"] * record["cell"]["batch"]
                inferences.setdefault(load, []).append(one["measure_ms"] / rows)
    return {
        load: Took(overhead_s=round(median(values), 2),
                   inference_ms=float(f"{median(inferences[load]):.3g}") if load in inferences else None)
        for load, values in overheads.items()
    }


def _trials(records: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Records by the process that they come from, without anchors, which are one cell only, and what this host could not run."""
    found: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for record in records:
        trial = record["trial"]
        if not trial["anchor"] and not Status(record["status"]).is_infrastructure:
            found.setdefault((trial["spec"], trial["index"], trial["attempt"]), []).append(record)
    return list(found.values())


def document(known: Mapping[Load, Took], *, command: str, day: date, machine: str) -> dict[str, Any]:
    """For `results/seconds.json`."""
    rows = [{**asdict(load), "settings": json.loads(load.settings), **asdict(took)} for load, took in known.items()]
    rows.sort(key=lambda row: (row["backend"], json.dumps(row["settings"]), row["compiled"], row["precision"], row["model"]))
    return {"schema": SCHEMA, "date": day.isoformat(), "command": command, "machine": machine, "loads": rows}


def load_seconds(results: Path) -> Known:
    """The published figures; none where the file is missing.

    Raises:
        ResultError: it is there and cannot be understood.
    """
    path = results / FILE
    if not path.is_file():
        return Known(loads={})
    try:
        return Known(loads={
            _load(row): Took(overhead_s=float(row["overhead_s"]),
                             inference_ms=None if row["inference_ms"] is None else float(row["inference_ms"]))
            for row in read_json(path, schema=SCHEMA)["loads"]
        })
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{path}: not the seconds that loads take ({error})", hint="git checkout it, or delete it") from None


def _load(cell: Mapping[str, Any]) -> Load:
    settings = json.dumps(cell["settings"], sort_keys=True, separators=(",", ":"))
    return Load(backend=cell["backend"], settings=settings, compiled=cell.get("compiled") or Compiled.FRESH.value,
                precision=cell["precision"], model=cell["model"])
