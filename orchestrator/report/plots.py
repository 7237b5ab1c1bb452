"""Where things stand in the drawings, in per cent of their width, so that one SVG fits every screen (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.cells import CellView
from orchestrator.report.metrics import COLD_START, VIEW_TITLES, View
from orchestrator.report.scenarios import Figure
from orchestrator.report.units import Scale, Unit, plain, quantity
from orchestrator.report.view import Column

_LOG_FROM = 10.0  # spread above which a linear axis would press all but the largest against its end
_LEFT, _RIGHT = 2.0, 96.0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A line of the axis."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One cell: a dot, with its interval where it has one; `x` is None where there is no figure."""

    cell: CellView
    x: float | None
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The marks of one column in one view, in the column's order of cells."""

    view: View
    name: str
    unit: str
    log: bool
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One phase of the cold start in the stacked bar."""

    name: str
    index: int  # names the colour: the same phase has the same everywhere
    text: str
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """The phases from nothing to the first answer; those without a figure are named with the reason."""

    total: str
    segments: tuple[Segment, ...]
    missing: tuple[tuple[str, str], ...]


def interval_plot(column: Column, view: View) -> Plot:
    """The column's cells on one axis: from zero, or logarithmic where the largest is over ten times the smallest."""
    figure = column.cells[0].figure
    factor, unit = _unit(view, column.scale, figure)
    points = [_ends(cell, view, factor) for cell in column.cells]
    values = [value for point in points if point is not None for value in point if value > 0]
    log = bool(values) and max(values) / min(values) > _LOG_FROM
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    ticks = _log_ticks(low, high) if log else _linear_ticks(high)
    first, last = (min(low, ticks[0]), max(high, ticks[-1])) if log else (0.0, max(high, ticks[-1]))

    def place(value: float) -> float:
        share = math.log(max(value, first) / first) / math.log(last / first) if log else max(value, 0.0) / last
        return round(_LEFT + share * (_RIGHT - _LEFT), 1)

    marks = []
    for cell, point in zip(column.cells, points, strict=True):
        scale = column.scale if view is View.LATENCY else None
        text = cell.in_view(view, scale).text if point is not None else cell.status.title if not cell.is_ok else "–"
        x, left, right = (None, None, None) if point is None else (place(point[0]), place(point[1]), place(point[2]))
        marks.append(Mark(cell=cell, x=x, low=left if left != right else None, high=right if left != right else None,
                          text=text))
    name = figure.name if view is View.LATENCY else VIEW_TITLES[view]
    return Plot(view=view, name=name, unit=unit, log=log, marks=tuple(marks),
                ticks=tuple(Tick(x=place(tick), text=_tick_text(tick)) for tick in ticks))


def cold_start(cell: CellView) -> ColdStart | None:
    """The stacked bar of one cell; None where no phase was measured."""
    found = [(index, name, value) for index, (path, name) in enumerate(COLD_START)
             if (value := cell.value(path)) is not None and value >= 0]
    total = sum(value for _, _, value in found)
    if not total:
        return None
    segments, x = [], 0.0
    for index, name, value in found:
        width = 100 * value / total
        segments.append(Segment(name=name, index=index, text=quantity(value, Unit.MS), x=round(x, 1),
                                width=round(width, 1)))
        x += width
    missing = tuple((name, cell.why_null(path)) for path, name in COLD_START if cell.value(path) is None)
    return ColdStart(total=quantity(total, Unit.MS), segments=tuple(segments), missing=missing)


def _ends(cell: CellView, view: View, factor: float) -> tuple[float, float, float] | None:
    value = cell.view_value(view)
    if value is None or not cell.has_figures:
        return None
    path = {View.LATENCY: cell.figure.path, View.THROUGHPUT: "throughput_ips"}.get(view)
    ends = cell.interval(path) if path else None
    low, high = ends or (value, value)
    return value * factor, low * factor, high * factor


def _unit(view: View, scale: Scale, figure: Figure) -> tuple[float, str]:
    if view is View.LATENCY:
        return (scale.factor, scale.sign) if figure.unit is Unit.MS else (1.0, figure.axis or figure.unit.value)
    return 1.0, {View.THROUGHPUT: "inferences/s", View.MEMORY: "MB", View.LOAD: "ms"}[view]


def _linear_ticks(high: float) -> list[float]:
    """About four steps of 1, 2 or 5 times a power of ten, from zero to the first at or above `high`."""
    rough = (high or 1.0) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [index * step for index in range(math.ceil(high / step - 1e-9) + 1)] if high > 0 else [0.0, step]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around the values; with 3 between them where there are few, every n-th where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 5))
    powers = [10.0 ** exponent for exponent in range(first, last + stride, stride)]
    if len(powers) > 3:
        return powers
    inner = sorted({power * factor for power in powers for factor in (1, 3)})
    return [tick for index, tick in enumerate(inner)
            if (index + 1 == len(inner) or inner[index + 1] > low) and (index == 0 or inner[index - 1] < high)]


def _tick_text(value: float) -> str:
    return plain(value, 0) if value >= 10 or value == int(value) else f"{value:.3g}"


def plot_data(plots: Sequence[Plot]) -> dict[str, object]:
    """The plots of one column as plain JSON by view, for the page's script to switch between."""
    return {
        plot.view.value: {
            "name": plot.name, "unit": plot.unit + (", log scale" if plot.log else ""),
            "ticks": [[tick.x, tick.text] for tick in plot.ticks],
            "marks": [[mark.x, mark.low, mark.high, mark.text] for mark in plot.marks],
        }
        for plot in plots
    }
