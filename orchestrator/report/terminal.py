"""The matrix on a terminal: a table per model, the answer below it, and where the report lies."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.report.answers import Verdict
from orchestrator.report.cells import CellView
from orchestrator.report.conditions import headline, warnings_of
from orchestrator.report.marks import legend_of, marks_of
from orchestrator.report.metrics import View
from orchestrator.report.status import Family
from orchestrator.report.text import one_line
from orchestrator.report.verdicts import counted, said
from orchestrator.report.view import Column, ModelView, ReportView, build_view, neighbours

_REASON = 48  # characters of a reason in a cell: the report has the rest
_OPEN_SHOWN = 6  # open comparisons per model
_PLAIN_WIDTH = 140  # a file has no width; cells are folded, never cut
_LEAST_WIDTH = 60
_STYLES = {Family.GOOD: "", Family.WRONG: "magenta", Family.FAILED: "red", Family.LACKING: "dim",
           Family.SHAKY: "yellow", Family.HOST: "blue"}
_VERDICTS = {Verdict.DECIDED: "bold green", Verdict.TIED: "bold", Verdict.UNDECIDED: "bold yellow",
             Verdict.ALONE: "bold", Verdict.NONE: "bold red"}


def print_matrix(matrix: Mapping[str, Any], *, report: Path | None = None, stream: TextIO | None = None) -> None:
    """Prints to `stream` (default: standard output): coloured on a terminal, plain text elsewhere."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        _print(Console(file=stream, highlight=False, markup=False, emoji=False), matrix, report, box.SIMPLE_HEAD)
        return
    buffer = io.StringIO()
    console = Console(file=buffer, width=_plain_width(), color_system=None, force_terminal=False, highlight=False,
                      markup=False, emoji=False, legacy_windows=False)
    _print(console, matrix, report, box.ASCII)
    lines = (line.rstrip() for line in buffer.getvalue().splitlines())
    text = "\n".join(lines) + "\n"
    # A log file may be in an encoding without µ or ×; losing the whole matrix for it would be worse than a "?".
    stream.write(text.encode(stream.encoding or "utf-8", errors="replace").decode(stream.encoding or "utf-8"))
    stream.flush()


def _plain_width() -> int:
    """What COLUMNS asks for, as programs do that write to no terminal."""
    asked = os.environ.get("COLUMNS", "")
    return max(_LEAST_WIDTH, int(asked)) if asked.isdecimal() and int(asked) else _PLAIN_WIDTH


def _print(console: Console, matrix: Mapping[str, Any], report: Path | None, style: box.Box) -> None:
    view = build_view(matrix)
    for model in view.models:
        console.print(Text(model.name, style="bold"))
        console.print(_table(model, style))
        for column in model.columns:
            answer = column.answer
            console.print(Text.assemble(f"  {column.title}: ", (answer.headline, _VERDICTS[answer.verdict]), answer.rest),
                          soft_wrap=True)
        _print_comparisons(console, model)
        console.print()
    if any(cell.batches_by_rows for cell in view.cells):
        console.print(Text("† the backend has no batch dimension here: the rows of a batch ran one by one", style="dim"))
    for sign, meaning in _explained(view):
        console.print(Text(f"{sign}: {meaning}", style="dim"), soft_wrap=True)
    for warning in warnings_of(view):
        console.print(Text(f"! {warning}", style="yellow"), soft_wrap=True)
    for term, text in headline(view)[:1]:
        console.print(Text(f"{term}: {text}"), soft_wrap=True)
    if report is not None:
        console.print(Text(f"Report: {report}", style="bold"), soft_wrap=True)


def _explained(view: ReportView) -> list[tuple[str, str]]:
    """The signs that occur in the tables, with their meanings."""
    near = [neighbours(cell, column) for model in view.models for column in model.columns for cell in column.cells
            if cell.has_figures]
    known = [("★", "decided to be faster than all others", any(cell.is_best for cell in view.cells)),
             ("= name", "tied with it, within the minimum effect", any(tied for tied, _ in near)),
             ("? name", "open: they may differ, and the trials cannot tell yet", any(unclear for _, unclear in near))]
    return [(sign, meaning) for sign, meaning, there in known if there] + [(m.sign, m.meaning) for m in legend_of(view.cells)]


def _print_comparisons(console: Console, model: ModelView) -> None:
    """How far the comparisons of a model are, and what the open ones need."""
    every = [(column, pair) for column in model.columns for pair in column.pairs]
    counts = counted([pair for _, pair in every])
    if not counts:
        return
    console.print(Text(f"  comparisons: {counts}", style="dim"), soft_wrap=True)
    still = [(column, pair) for column, pair in every if pair.verdict == "open"]
    for column, pair in still[:_OPEN_SHOWN]:
        console.print(Text(f"    {column.title}: {pair.a.label} : {pair.b.label} — {said(pair)}", style="dim"), soft_wrap=True)
    if len(still) > _OPEN_SHOWN:
        console.print(Text(f"    and {len(still) - _OPEN_SHOWN} more open", style="dim"))


def _table(model: ModelView, style: box.Box) -> Table:
    table = Table(box=style, show_lines=False, pad_edge=False)
    table.add_column("backend", no_wrap=True)
    for column in model.columns:
        table.add_column(Text(column.title), overflow="fold")
    for row in model.rows:
        slots = (_slot([_cell(cell, column) for cell in slot]) for slot, column in zip(row.slots, model.columns, strict=True))
        table.add_row(Text(row.label), *slots)
    return table


def _slot(texts: list[Text]) -> Text:
    if len(texts) == 1:  # nearly always, and joining takes longer than the rest of the table
        return texts[0]
    return Text("\n").join(texts) if texts else Text("not planned", style="dim")


def _cell(cell: CellView, column: Column) -> Text:
    text = Text()
    if cell.has_figures:
        shown = cell.in_view(View.LATENCY, column.scale)
        text.append(f"★ {shown.text}" if cell.is_best else shown.text, style="bold green" if cell.is_best else "bold")
        if shown.interval:
            text.append(f" ({shown.interval})", style="dim")
        if shown.why:
            text.append(f" {one_line(shown.why, _REASON)}", style="dim")
        tied, unclear = neighbours(cell, column)
        for sign, names in (("=", tied), ("?", unclear)):
            if names:
                text.append(f" {sign} {', '.join(names)}", style="dim")
        for mark in marks_of(cell):
            text.append(f" {mark.text}", style="yellow")
        if cell.batches_by_rows:
            text.append(" †")
    if not cell.is_ok:
        text.append((" " if text else "") + cell.status.title, style=_STYLES[cell.status.family])
        text.append(f": {one_line(cell.reason, _REASON)}", style="dim")
    return text
