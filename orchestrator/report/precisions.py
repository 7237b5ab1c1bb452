"""One backend in several precisions, side by side: how fast, how far off, how often right.

No ratio and no winner: cells of different precision do different work, so the merge never pairs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.cells import CellView, part
from orchestrator.report.conditions import Table
from orchestrator.report.metrics import View
from orchestrator.report.text import one_line
from orchestrator.report.units import Scale, finite, time_scale
from orchestrator.report.view import Column, ModelView

TITLE = "Precisions"
_ORDER = ("fp32", "tf32", "bf16", "fp16", "int8")


def precision_table(model: ModelView) -> Table | None:
    """A row per cell, a backend's precisions under one condition next to each other; None for a model with one precision."""
    found = {str(cell.raw.get("precision")) for cell in model.cells}
    if len(found) < 2:
        return None
    places = {cell.anchor: index for index, cell in enumerate(model.cells)}
    labels = [row.label for row in model.rows]
    conditions = list(dict.fromkeys(_condition(column) for column in model.columns))
    entries = [(cell, column) for column in model.columns for cell in column.cells]
    entries.sort(key=lambda entry: (
        labels.index(entry[0].label), conditions.index(_condition(entry[1])), _rank(entry[0]), places[entry[0].anchor]))
    scales = {name: _scale([cell for cell, column in entries if _condition(column) == name]) for name in conditions}
    return Table(
        title=TITLE, columns=("Backend", "Measured as", "Precision", "Latency p50", "rel. L2", "Top-1 agreement", "Accuracy"),
        rows=tuple(_row(cell, column, scales[_condition(column)]) for cell, column in entries), empty="",
    )


def accuracy_text(cell: CellView) -> str:
    """`98.5 % (97.1–99.2 %, 532 of 540)`, or nothing."""
    found = part(cell.raw, "accuracy")
    share, ends = finite(found.get("top1")), found.get("ci95")
    if share is None:
        return ""
    low, high = (finite(end) for end in ends) if isinstance(ends, list) and len(ends) == 2 else (None, None)
    interval = "" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %, "
    return f"{100 * share:.1f} % ({interval}{one_line(found.get('correct'), 12)} of {one_line(found.get('n'), 12)})"


def _scale(cells: Sequence[CellView]) -> Scale:
    """One unit of time for all precisions under one condition."""
    return time_scale([value for cell in cells if cell.has_figures and (value := cell.view_value(View.LATENCY)) is not None])


def _row(cell: CellView, column: Column, scale: Scale) -> tuple[str, ...]:
    fidelity = part(cell.raw, "fidelity")
    return (
        cell.label, _condition(column), one_line(cell.raw.get("precision"), 20), _speed(cell, scale),
        _number(fidelity, "rel_l2"), _number(fidelity, "topk_agreement"), accuracy_text(cell) or "–",
    )


def _speed(cell: CellView, scale: Scale) -> str:
    if not cell.has_figures:
        return f"{cell.status.sign} {cell.status.title}: {one_line(cell.reason, 160)}"
    shown = cell.in_view(View.LATENCY, scale)
    return f"{shown.text} ({shown.interval})" if shown.interval else shown.text


def _number(fidelity: Mapping[str, Any], name: str) -> str:
    value = finite(fidelity.get(name))
    return "–" if value is None else f"{value:.2g}" if value < 0.995 or value > 1 else f"{value:.4g}"


def _condition(column: Column) -> str:
    """The column's title without its precision, which has a column of its own here."""
    precisions = {one_line(cell.raw.get("precision"), 20) for cell in column.cells}
    return " · ".join(part for part in column.title.split(" · ") if part not in precisions)


def _rank(cell: CellView) -> tuple[int, str]:
    name = str(cell.raw.get("precision"))
    return (_ORDER.index(name), "") if name in _ORDER else (len(_ORDER), name)
