"""What each setting changes: an ablation's rows against the row that they vary, from the matrix's own comparisons (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.report.answers import Pair, times
from orchestrator.report.cells import CellView, part
from orchestrator.report.text import compact, one_line
from orchestrator.report.view import Column, ModelView

NOT_MEASURED = "–"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One setting in one column: time relative to the base row, below 1 being faster; or why that is not known."""

    text: str
    verdict: str  # "faster", "slower", "no difference" (tied), "open", or empty where there is no comparison
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One row of the ablation."""

    title: str  # "allow_spinning: true → false"
    note: str  # what the vendor recommends, where it does
    effects: tuple[Effect, ...]  # one per column


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Every row that varies one base row of one model."""

    base: str
    columns: tuple[str, ...]
    changes: tuple[Change, ...]


def ablations(model: ModelView, matrix: Mapping[str, Any]) -> tuple[Ablation, ...]:
    """Rows whose label is another row's with brackets behind it; in the grid's order. No file can give such a label."""
    labels = [row.label for row in model.rows]
    found = []
    for base in labels:
        varied = [label for label in labels if label.startswith(f"{base}[") and label.endswith("]")]
        columns = [c for c in model.columns if any(cell.label == base for cell in c.cells)]
        if varied and columns:
            changes = tuple(_change(base, label, columns, matrix) for label in varied)
            found.append(Ablation(base=base, columns=tuple(c.title for c in columns), changes=changes))
    return tuple(found)


def _change(base: str, label: str, columns: Sequence[Column], matrix: Mapping[str, Any]) -> Change:
    pairs = [(_cell(column, base), _cell(column, label), column) for column in columns]
    before, after = next(((b, a) for b, a, _ in pairs if b and a), (None, None))
    title, note = label[len(base):].strip("[]"), ""
    if before is not None and after is not None:
        old, new = part(before.raw, "settings"), part(after.raw, "settings")
        differing = [name for name in new if new[name] != old.get(name)]
        title = ", ".join(f"{one_line(n, 60)}: {_spelt(old.get(n))} → {_spelt(new[n])}" for n in differing) or title
        declared = part(part(matrix, "settings"), str(after.raw.get("backend")))
        note = "; ".join(text for name in differing if (text := _recommended(part(declared, name))))
    return Change(title=title, note=note, effects=tuple(_effect(b, a, column) for b, a, column in pairs))


def _recommended(setting: Mapping[str, Any]) -> str:
    if not setting.get("source"):
        return ""
    return f"recommended: {_spelt(setting.get('recommended'))} ({one_line(setting['source'], 200)})"


def _effect(base: CellView | None, cell: CellView | None, column: Column) -> Effect:
    if base is None or cell is None:
        return Effect(text=NOT_MEASURED, verdict="", why="not planned")
    for one in (cell, base):
        if not one.is_ok:
            return Effect(text=NOT_MEASURED, verdict="", why=f"{one.label}: {one.status.title}: {one_line(one.reason, 160)}")
    pair = next((p for p in column.pairs if {p.a.anchor, p.b.anchor} == {base.anchor, cell.anchor}), None)
    if pair is None or not pair.ratio:
        return Effect(text=NOT_MEASURED, verdict="", why=pair.why if pair else "not compared")
    ratio, ends = _against(pair, cell)
    text = times(ratio) + (f" ({times(ends[0])[:-1]}–{times(ends[1])[:-1]})" if ends else "")
    if pair.faster is not None:
        return Effect(text=text, verdict="faster" if pair.faster.anchor == cell.anchor else "slower")
    if pair.verdict == "tied":
        return Effect(text=text, verdict="no difference")
    return Effect(text=text, verdict="open", why="; ".join(filter(None, (pair.why, pair.needs))))


def _against(pair: Pair, cell: CellView) -> tuple[float, tuple[float, float] | None]:
    """Ratio and interval as time of `cell` ÷ time of the other."""
    assert pair.ratio is not None
    if pair.a.anchor == cell.anchor:
        return pair.ratio, pair.ci
    ends = pair.ci
    return 1 / pair.ratio, (1 / ends[1], 1 / ends[0]) if ends and min(ends) > 0 else None


def _cell(column: Column, label: str) -> CellView | None:
    return next((cell for cell in column.cells if cell.label == label), None)


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else compact(value, 60)
