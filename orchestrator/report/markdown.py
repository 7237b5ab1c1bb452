"""report.md: the answer, the matrix and the conditions, for a pull request or a terminal's pager."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.model import Status
from orchestrator.report.ablation import Ablation, ablations
from orchestrator.report.cells import CellView, part
from orchestrator.report.conditions import Table, condition_tables, excluded_table, headline, warnings_of
from orchestrator.report.marks import legend_of, marks_of
from orchestrator.report.metrics import View
from orchestrator.report.precisions import precision_table
from orchestrator.report.status import status_text
from orchestrator.report.text import joined, one_line
from orchestrator.report.verdicts import counted, said
from orchestrator.report.view import Column, ModelView, ReportView, build_view, neighbours, other_scenarios

_PAIRS_SHOWN = 200
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#!])")
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|www)(?=[:.])")


def render_markdown(matrix: Mapping[str, Any]) -> str:
    """GitHub's Markdown; whatever text came from a container stays text."""
    view = build_view(matrix)
    name = one_line(part(matrix, "run").get("name"), 120) or "Infermatrix"
    lines = [f"# {escape(name)}", ""]
    lines += [f"- **{escape(term)}:** {escape(text)}" for term, text in headline(view)]
    if found := warnings_of(view):
        lines += ["", "**Read this first**", "", *(f"- {escape(warning)}" for warning in found)]
    lines += ["", "## The answer", ""]
    for model in view.models:
        lines += _answers(model)
    lines += ["## The matrix", "", first_figures(view), ""]
    for model in view.models:
        lines += [f"### {escape(model.name)}", "", *_grid(model), ""]
        for ablation in ablations(model, matrix):
            lines += _ablation(ablation)
        if (table := precision_table(model)) is not None:
            lines += [f"#### {table.title}", "", *_table(table), ""]
    lines += _comparisons(view.models)
    lines += ["## Legend", "", "- **★** decided to be the fastest of its column",
              "- **= name** tied with it: no more than the minimum effect apart",
              "- **? name** open: not told apart from it, and they may still differ"]
    if any(cell.batches_by_rows for cell in view.cells):
        lines.append("- **†** the backend has no batch dimension here: the rows of a batch ran one by one")
    lines += [f"- **{escape(mark.sign)}** {mark.meaning}" for mark in legend_of(view.cells)]
    present = {cell.status.name: cell.status for cell in view.cells if not cell.is_ok}
    ordered = [s.value for s in Status if s.value in present] + sorted(set(present) - {s.value for s in Status})
    lines += [f"- **{escape(status_text(key).title)}** {status_text(key).meaning}" for key in ordered]
    lines += ["", "## Conditions", ""]
    for table in (*condition_tables(view), excluded_table(view)):
        lines += [f"### {escape(table.title)}", "", *_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def first_figures(view: ReportView) -> str:
    """What stands in the grid, in words."""
    said = "Latency p50 with its 95 % confidence interval; below it the throughput."
    others = other_scenarios(view)
    return said if not others else f"{said} Under {joined(others)}: what that scenario is about first."


def escape(text: str) -> str:
    """Text as Markdown text: no markup, no HTML, no table's column, no link made of an address."""
    safe = _SPECIAL.sub(r"\\\1", one_line(text, 1000).replace("&", "&amp;"))
    return _AUTOLINK.sub(lambda found: found.group(1) + "&#8203;", safe.replace("\\<", "&lt;").replace("\\>", "&gt;"))


def _answers(model: ModelView) -> list[str]:
    lines = [f"**{escape(model.name)}**", ""]
    for column in model.columns:
        said = f"**{escape(column.answer.headline)}**{escape_inline(column.answer.rest)}"
        caveats = f" {escape(column.answer.caveats)}" if column.answer.caveats else ""
        lines.append(f"- {escape(column.title)} – {said}{caveats}")
    return [*lines, ""]


def _comparisons(models: Sequence[ModelView]) -> list[str]:
    """What every pair came to; open ones first, since they say what to do next."""
    found = [(model, column, pair) for model in models for column in model.columns for pair in column.pairs]
    if not found:
        return []
    found.sort(key=lambda item: item[2].verdict != "open")
    counts = counted([pair for _, _, pair in found])
    rows = [[escape(model.name), escape(column.title), escape(f"{pair.a.label} : {pair.b.label}"), escape(said(pair)),
             "–" if pair.trials is None else str(pair.trials)] for model, column, pair in found[:_PAIRS_SHOWN]]
    rest = len(found) - len(rows)
    return ["## Every comparison", "", *([f"{len(found)} comparisons: {counts}.", ""] if counts else []),
            *_lines(["Model", "Condition", "Pair", "Decided, tied or open", "Pairs of trials"], rows),
            *(["", f"And {rest:,} more, in matrix.json."] if rest else []), ""]


def escape_inline(text: str) -> str:
    """`escape`, keeping the space that joins it to what stands before."""
    return (" " if text.startswith(" ") else "") + escape(text)


def _grid(model: ModelView) -> list[str]:
    head = ["Backend", *(column.title for column in model.columns)]
    rows = [
        [escape(row.label), *("<br>".join(_cell(cell, column) for cell in slot) or "not planned"
                              for slot, column in zip(row.slots, model.columns, strict=True))]
        for row in model.rows
    ]
    return _lines([escape(title) for title in head], rows)


def _cell(cell: CellView, column: Column) -> str:
    parts = []
    if cell.has_figures:
        shown, speed = cell.in_view(View.LATENCY, column.scale), cell.beside()
        best = "★ " if cell.is_best else ""
        figure = f"**{best}{shown.text}**" + (f" ({shown.interval})" if shown.interval else "")
        parts.append(figure if shown.why is None else f"– {escape(shown.why)}")
        tied, unclear = neighbours(cell, column)
        marks = [f"{sign} {escape(', '.join(names))}" for sign, names in (("=", tied), ("?", unclear)) if names]
        marks += [escape(mark.text) for mark in marks_of(cell)]
        marks += ["†"] if cell.batches_by_rows else []
        parts.append(" · ".join([speed.text if speed.why is None else f"– {escape(speed.why)}", *marks]))
    if not cell.is_ok:
        parts.append(f"{cell.status.sign} **{escape(cell.status.title)}**: {escape(one_line(cell.reason, 160))}")
    return "<br>".join(parts)


def _ablation(found: Ablation) -> list[str]:
    rows = [[escape(change.title), *(" ".join(filter(None, (e.text, e.verdict and f"**{e.verdict}**", escape(e.why))))
                                     for e in change.effects)] for change in found.changes]
    said = f"Time with the setting ÷ time of {escape(found.base)}, with its corrected interval; below 1 is faster."
    return [f"**What each setting changes: {escape(found.base)}**", "", said, "",
            *_lines(["Setting", *map(escape, found.columns)], rows), ""]


def _table(table: Table) -> list[str]:
    if not table.rows:
        return [table.empty]
    return _lines([escape(title) for title in table.columns], [[escape(value) for value in row] for row in table.rows])


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
