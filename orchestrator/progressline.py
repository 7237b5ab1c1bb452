"""What a run says after every trial: how far it is, how long it may still take, and what the trial measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.classify import Verdict
from orchestrator.counting import figure
from orchestrator.errors import ResultError
from orchestrator.merge.samples import decode_samples, trial_numbers
from orchestrator.model import Cell, Status

_UNITS = ((60_000.0, "min"), (1_000.0, "s"), (1.0, "ms"), (1e-3, "µs"))


@dataclass(kw_only=True)
class Pace:
    """Trials done of those due, and the time that they took; repeats make the number due grow."""

    due: int = 0
    done: int = 0
    spent_s: float = 0.0

    def text(self) -> str:
        """ "12/80, about 3 min left"; without the time until there is something to judge it by."""
        if self.done == 0 or self.done >= self.due:
            return f"{self.done}/{self.due}"
        left_s = self.spent_s / self.done * (self.due - self.done)
        return f"{self.done}/{self.due}, about {f'{left_s / 60:.0f} min' if left_s >= 90 else f'{left_s:.0f} s'} left"


def trial_line(
    where: str, cells: Sequence[Cell], verdicts: Mapping[str, Verdict], measured: Mapping[str, Mapping[str, Any]],
    gate: str | None,
) -> str:
    """One line: what ran and what came of it, with the same figure per cell as the matrix compares."""
    parts: list[str] = []
    told: set[str | None] = set()
    for cell in cells:
        verdict = verdicts[cell.id]
        what = " ".join((cell.scenario.value, f"b{cell.batch}", *map(str, cell.options.values())))
        if verdict.status is Status.OK:
            parts.append(f"{what} {_figure(measured.get(cell.id) or {}, cell.batch)}".rstrip())
        else:
            parts.append(f"{what} {verdict.status.value} ({verdict.reason})" if verdict.reason not in told else f"{what} too")
            told.add(verdict.reason)
    note = f" — not counted: {gate}" if gate else ""
    return f"{where}: {cells[0].label} × {cells[0].model}: {', '.join(parts)}{note}"


def _figure(measurement: Mapping[str, Any], batch: int) -> str:
    try:
        samples = decode_samples(measurement.get("samples") or {})
        ms = trial_numbers(samples, batch, headline_ms=measurement.get("headline_ms")).headline_ms
    except ResultError:
        return ""
    if ms is None:
        return ""
    size, unit = next((found for found in _UNITS if ms >= found[0]), _UNITS[-1])
    return f"{figure(ms / size)} {unit}"
