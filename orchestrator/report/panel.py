"""The figures of one cell as rows; meters that gave nothing at all share a row that says why once (pure)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

from orchestrator.gpus import is_gpu
from orchestrator.report.cells import CellView, Shown, metric_title, metric_value
from orchestrator.report.metrics import GPU, METRICS, TAIL, THROTTLING, Metric


def metric_rows(cell: CellView, without: Collection[str] = ()) -> list[tuple[str, Shown]]:
    """(title, figure) of every metric but those in `without`, and a GPU's only of what ran on one.

    Nothing where the cell has no figure at all.
    """
    if all(cell.value(metric.path) is None for metric in METRICS):
        return []
    rows: list[tuple[str, Shown]] = []
    on_gpu = is_gpu(str(cell.raw.get("device")))
    shown = [metric for metric in METRICS if metric.path not in without and (on_gpu or metric.meter != GPU)]
    for meter, group in groupby(shown, key=lambda metric: metric.meter):
        rows += _rows(cell, meter, list(group))
    return rows


def _rows(cell: CellView, meter: str, group: Sequence[Metric]) -> list[tuple[str, Shown]]:
    found = [(metric_title(cell, metric), metric_value(cell, metric)) for metric in group]
    if not meter:
        return found
    if meter == TAIL:  # a percentile beyond one that wants more samples wants more still
        first = next((number for number, (_, shown) in enumerate(found) if shown.why is not None), len(found))
        return [*found[:first], *((f"{title} and beyond", shown) for title, shown in found[first:first + 1])]
    if meter == THROTTLING and not any(cell.value(metric.path) != 0 for metric in group):
        return [(meter, Shown(text="none"))]
    rows: dict[str, tuple[str, Shown]] = {}
    for title, shown in found:
        if shown.why is None:
            rows[title] = (title, shown)
        else:  # the second with the same reason makes it the meter's
            rows[shown.why] = (meter if shown.why in rows else title, shown)
    return list(rows.values())
