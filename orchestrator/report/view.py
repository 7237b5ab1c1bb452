"""matrix.json → what every report shows: models, columns of comparable cells, rows of labels (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.model import Scenario
from orchestrator.report.answers import Answer, Pair, answer_for, is_tie, pairs_in
from orchestrator.report.cells import CellView, items
from orchestrator.report.metrics import LATENCY
from orchestrator.report.scenarios import BY_LATENCY
from orchestrator.report.text import one_line
from orchestrator.report.units import Scale, Unit, time_scale
from orchestrator.report.verdicts import budget_left_s, needs_of

_AXES = ("scenario", "batch", "precision", "threads", "instances", "options", "device", "host")
_ALWAYS_NAMED = ("scenario", "batch")


@dataclass(frozen=True, kw_only=True)
class Column:
    """Cells that may be compared with each other: one model under one condition."""

    anchor: str
    title: str  # "single stream · batch 1"; other axes are named where the matrix varies them
    cells: tuple[CellView, ...]  # in the matrix's order
    answer: Answer
    pairs: tuple[Pair, ...]
    scale: Scale  # one unit of time for the whole column


@dataclass(frozen=True, kw_only=True)
class Row:
    """One label's cells; a column has none where the combination was not planned, several in odd matrices."""

    label: str
    backend: str
    slots: tuple[tuple[CellView, ...], ...]  # one per column


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """A model's part of the matrix."""

    anchor: str
    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[CellView, ...]


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """The whole matrix, ready to be written in any format."""

    matrix: Mapping[str, Any]
    models: tuple[ModelView, ...]
    cells: tuple[CellView, ...]

    @property
    def measured(self) -> int:
        """How many cells have a figure that counts."""
        return sum(cell.is_ok for cell in self.cells)


def build_view(matrix: Mapping[str, Any]) -> ReportView:
    """Every cell of the matrix appears exactly once; models, labels and columns keep the matrix's order."""
    raws = [raw for raw in items(matrix.get("cells")) if isinstance(raw, Mapping)]
    cells = tuple(CellView(anchor=f"c{index}", raw=raw) for index, raw in enumerate(raws))
    comparisons = [c for c in items(matrix.get("comparisons")) if isinstance(c, Mapping)]
    by_pair = _by_pair(comparisons, budget_left_s(matrix))
    varying = [axis for axis in _AXES if axis in _ALWAYS_NAMED or len({_coordinate(raw, axis) for raw in raws}) > 1]
    if "threads" not in varying and any(map(_in_instances, raws)):
        varying.insert(varying.index("batch") + 1, "threads")
    by_model: dict[str, list[CellView]] = {}
    for cell in cells:
        by_model.setdefault(str(cell.raw.get("model")), []).append(cell)
    models = tuple(
        _model(f"m{index}", name, members, varying, by_pair) for index, (name, members) in enumerate(by_model.items())
    )
    return ReportView(matrix=matrix, models=models, cells=cells)


def _model(anchor: str, name: str, cells: list[CellView], varying: list[str],
           by_pair: Mapping[frozenset[str], Mapping[str, Any]]) -> ModelView:
    groups: dict[tuple[str, ...], list[CellView]] = {}
    for cell in cells:
        groups.setdefault(tuple(_coordinate(cell.raw, axis) for axis in _AXES), []).append(cell)
    # The scenario's order is the matrix's own; within it a sweep reads from small to large.
    scenarios = list(dict.fromkeys(str(cell.raw.get("scenario")) for cell in cells))
    keys = sorted(groups, key=lambda key: (scenarios.index(key[0]), _numeric(key[1]), key[2], _numeric(key[3])))
    columns = tuple(
        _column(f"{anchor}g{index}", groups[key], varying, by_pair) for index, key in enumerate(keys)
    )
    labels = list(dict.fromkeys(cell.label for cell in cells))
    rows = tuple(
        Row(
            label=label,
            backend=one_line(next(c.raw.get("backend") for c in cells if c.label == label), 80),
            slots=tuple(tuple(c for c in column.cells if c.label == label) for column in columns),
        )
        for label in labels
    )
    return ModelView(anchor=anchor, name=one_line(name, 120), columns=columns, rows=rows, cells=tuple(cells))


def _coordinate(raw: Mapping[str, Any], axis: str) -> str:
    """A matrix from before scenarios had options holds none."""
    return str(raw.get(axis) or {}) if axis == "options" else str(raw.get(axis))


def _column(anchor: str, cells: Sequence[CellView], varying: list[str],
            by_pair: Mapping[frozenset[str], Mapping[str, Any]]) -> Column:
    timed = cells[0].figure.path if cells[0].figure.unit is Unit.MS else LATENCY
    scale = time_scale([v for c in cells if c.has_figures and (v := c.value(timed)) is not None])
    pairs = pairs_in(cells, by_pair)
    return Column(
        anchor=anchor,
        title=" · ".join(text for axis in varying if (text := _on_axis(axis, cells[0].raw))),
        cells=tuple(cells),
        answer=answer_for(cells, pairs, scale),
        pairs=pairs,
        scale=scale,
    )


def _in_instances(raw: Mapping[str, Any]) -> bool:
    return raw.get("scenario") == Scenario.MULTI_INSTANCE.value or raw.get("instances") not in (None, 1)


def _on_axis(axis: str, raw: Mapping[str, Any]) -> str:
    """Instances are named with their threads, "2 × 1 threads", and elsewhere not at all: there is one."""
    if axis == "threads" and _in_instances(raw):
        return " × ".join(one_line(raw.get(name), 20) for name in ("instances", "threads")) + " threads"
    return "" if axis == "instances" else axis_text(axis, raw.get(axis))


def axis_text(axis: str, value: object) -> str:
    """One coordinate in words: "batch 8", "2 threads", "single stream"."""
    if axis == "options":
        options = value if isinstance(value, Mapping) else {}
        return ", ".join(one_line(f"{name.replace('_', ' ')} {chosen}", 60) for name, chosen in options.items())
    text = one_line(value, 60)
    if axis in ("threads", "instances"):
        return f"{text} {axis[:-1] if text == '1' else axis}"
    if axis == "batch":
        return f"batch {text}"
    return text.replace("_", " ") if axis == "scenario" else text


def other_scenarios(view: ReportView) -> list[str]:
    """Scenarios that are not about latency, in words."""
    return sorted({axis_text("scenario", cell.raw.get("scenario")) for cell in view.cells if cell.figure is not BY_LATENCY})


def _by_pair(comparisons: Sequence[Mapping[str, Any]], left_s: float | None) -> dict[frozenset[str], Mapping[str, Any]]:
    return {
        frozenset((str(c.get("a")), str(c.get("b")))): {**c, "needs_text": needs_of(c, left_s)} for c in comparisons
    }


def _numeric(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def neighbours(cell: CellView, column: Column) -> tuple[list[str], list[str]]:
    """(labels tied with it, labels that it was merely not told apart from) in its column."""
    tied: list[str] = []
    unclear: list[str] = []
    for other in column.cells:
        if other.id in cell.tied_with and other.is_ok:
            pair = next((p for p in column.pairs if {p.a.anchor, p.b.anchor} == {cell.anchor, other.anchor}), None)
            (tied if is_tie(cell, other, pair) else unclear).append(other.label)
    return tied, unclear
