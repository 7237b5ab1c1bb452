"""Models whose batch size is fixed: their cells get that batch, and the rest of a batch sweep has no meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.model import Cell
from orchestrator.plan.expand import Excluded, Expansion, Unsupported


def fit(expansion: Expansion, fixed: Mapping[str, int]) -> Expansion:
    """The expansion with every cell of a model in `fixed` at that batch; further batches of a sweep become excluded."""
    if not fixed:
        return expansion
    seen: set[str] = set()
    cells: list[Cell] = []
    excluded: list[Excluded] = list(expansion.excluded)
    for cell in expansion.cells:
        fitted = _fitted(cell, fixed)
        if fitted.id not in seen:
            seen.add(fitted.id)
            cells.append(fitted)
        else:
            excluded.append(Excluded(cell=cell, why=f"{cell.model} takes batches of {fixed[cell.model]} only"))
    unsupported: dict[str, Unsupported] = {}
    for item in expansion.unsupported:
        fitted = _fitted(item.cell, fixed)
        unsupported.setdefault(fitted.id, Unsupported(cell=fitted, reason=item.reason))
    return replace(expansion, cells=tuple(cells), excluded=tuple(excluded), unsupported=tuple(unsupported.values()))


def _fitted(cell: Cell, fixed: Mapping[str, int]) -> Cell:
    return replace(cell, batch=fixed[cell.model]) if cell.model in fixed else cell
