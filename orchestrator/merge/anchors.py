"""The anchor cell: measured at start, middle and end only to see whether the machine moved meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.counting import figure
from orchestrator.errors import ResultError
from orchestrator.merge.endings import record_status
from orchestrator.merge.samples import decode_samples, trial_numbers
from orchestrator.model import Status

_ORDER = {"start": 0, "middle": 1, "end": 2}


def anchor_drift(records: Sequence[Mapping[str, Any]], minimum_effect: float, names: Mapping[str, str]) -> list[str]:
    """A sentence per anchor cell whose median moved by more than the minimum effect; `names`: cells in words, by id."""
    by_cell: dict[str, list[tuple[tuple[int, str], str, float]]] = defaultdict(list)
    for record in records:
        place = str(record["trial"].get("anchor_at") or "")
        middle = _median_ms(record)
        if middle is not None:
            order = (_ORDER.get(place, len(_ORDER)), str(record.get("started")))
            by_cell[str(record["cell"]["id"])].append((order, place, middle))
    out = []
    for cell, found in sorted(by_cell.items()):
        found.sort()
        values = [middle for _, _, middle in found]
        if len(values) > 1 and max(values) / min(values) - 1 > minimum_effect:
            seen = ", ".join(f"{figure(middle, 4)} ms{f' at the {place}' if place else ''}" for _, place, middle in found)
            moved = 100 * (max(values) / min(values) - 1)
            out.append(f"the anchor moved by {moved:.1f} % during the run, hence the machine did: one cell, measured "
                       f"again at the start, middle and end only to see that ({names.get(cell, cell)}: {seen})")
    return out


def _median_ms(record: Mapping[str, Any]) -> float | None:
    if record_status(record)[0] is not Status.OK:
        return None
    try:
        found = record["measurement"]
        return trial_numbers(decode_samples(found.get("samples") or {}), 1, headline_ms=found.get("headline_ms")).headline_ms
    except ResultError:
        return None
