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
    groups: dict[str, list[Cell]] = {}  # id of the cell as it is measured -> the cells asked for that become it
    for cell in expansion.cells:
        groups.setdefault(_fitted(cell, fixed).id, []).append(cell)
    excluded: list[Excluded] = list(expansion.excluded)
    for group in groups.values():
        # The one that was asked for at the fixed batch is the one that is measured; else the first stands for all.
        stays = next((cell for cell in group if cell == _fitted(cell, fixed)), group[0])
        excluded += [Excluded(cell=cell, why=f"{cell.model} takes batches of {fixed[cell.model]} only")
                     for cell in group if cell is not stays]
    cells = [_fitted(group[0], fixed) for group in groups.values()]
    unsupported: dict[str, Unsupported] = {}
    for item in expansion.unsupported:
        fitted = _fitted(item.cell, fixed)
        unsupported.setdefault(fitted.id, Unsupported(cell=fitted, reason=item.reason))
    return replace(expansion, cells=tuple(cells), excluded=tuple(excluded), unsupported=tuple(unsupported.values()))


def _fitted(cell: Cell, fixed: Mapping[str, int]) -> Cell:
    return replace(cell, batch=fixed[cell.model]) if cell.model in fixed else cell
