"""report.html: one file that needs nothing else, in which text from a container stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from orchestrator.model import Status
from orchestrator.report.ablation import ablations
from orchestrator.report.cells import CellView, detail_items, fidelity_items, items, part
from orchestrator.report.conditions import (
    condition_tables,
    excluded_table,
    headline,
    settings_text,
    warnings_of,
)
from orchestrator.report.marks import legend_of, marks_of
from orchestrator.report.metrics import COLD_START, LATENCY, VIEW_TITLES, View
from orchestrator.report.panel import metric_rows
from orchestrator.report.plots import cold_start, interval_plot, plot_data
from orchestrator.report.precisions import accuracy_text, precision_table
from orchestrator.report.status import StatusText, status_text
from orchestrator.report.text import compact, one_line, tail
from orchestrator.report.units import finite
from orchestrator.report.verdicts import counted, said
from orchestrator.report.view import ReportView, build_view, neighbours, other_scenarios

_HERE = Path(__file__).parent
_LOG_BUDGET = 60_000  # characters of log in the whole page: a thousand failed cells must not make it 4 MB
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:µs|ms|s|MB|MHz|W|J|CI)\b|%)")
_LOG_LIMITS = (300, 4_000)


def render_html(matrix: Mapping[str, Any]) -> str:
    """The page as text; equal matrices give equal pages."""
    view = build_view(matrix)
    css, js = (_read(name) for name in ("report.css", "report.js"))
    plots = {c.anchor: [interval_plot(c, v) for v in View] for model in view.models for c in model.columns}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters["glue"] = _glue
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("report.html.j2").render(
        title=one_line(part(matrix, "run").get("name"), 120) or "Infermatrix",
        policy=_policy(css, js),
        # Both are ours, not a container's; everything else goes through autoescape.
        css=Markup(css), js=Markup(js),
        view=view, views=list(View), view_titles=_titles(view), latency=LATENCY,
        headline=headline(view), warnings=warnings_of(view), excluded=excluded_table(view),
        conditions=condition_tables(view), statuses=_legend(view),
        others=other_scenarios(view), rows_batched=any(cell.batches_by_rows for cell in view.cells),
        precisions={model.anchor: precision_table(model) for model in view.models}, accuracy=accuracy_text,
        plots=plots, data={anchor: plot_data(found) for anchor, found in plots.items()},
        phases={path for path, _ in COLD_START},
        metric_rows=metric_rows, details_of=detail_items, cold_start=cold_start,
        fidelity=fidelity_items, marks_of=marks_of, legend=legend_of(view.cells),
        anchored=any("anchor" in warning for warning in warnings_of(view)),
        neighbours=neighbours, said=said, counted=counted,
        evidence=_evidence, trials=_trials, measured_as=_measured_as, settings=settings_text,
        ablations=lambda model: ablations(model, matrix),
        log=_Logs(view), version=one_line(part(matrix, "run").get("infermatrix_version"), 40),
    )


def _titles(view: ReportView) -> dict[View, str]:
    """The first view is of what each scenario is about, which is not always latency."""
    names = {cell.figure.name for cell in view.cells} or {VIEW_TITLES[View.LATENCY]}
    return {**VIEW_TITLES, View.LATENCY: "Headline figure" if len(names) > 1 else names.pop()}


def _glue(text: str) -> str:
    """No line break between a number and its unit."""
    return _BEFORE_UNIT.sub("\u00a0", text)


class _Logs:
    """Log tails cut so that all of them together stay within the page's budget."""

    def __init__(self, view: ReportView) -> None:
        with_log = sum(bool(cell.raw.get("log_tail")) for cell in view.cells)
        self._limit = min(max(_LOG_BUDGET // max(with_log, 1), _LOG_LIMITS[0]), _LOG_LIMITS[1])

    def __call__(self, cell: CellView) -> str:
        return tail(cell.raw.get("log_tail"), self._limit)


def _policy(css: str, js: str) -> str:
    """Nothing is loaded from anywhere, and only the style and script that we wrote are applied."""
    return (f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(js)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    text = (_HERE / name).read_text(encoding="utf-8").strip()
    return f"\n{text}\n"


def _legend(view: ReportView) -> list[StatusText]:
    """The statuses that occur, in the order of their definition."""
    present = {cell.status.name: cell.status for cell in view.cells}
    known = [present.pop(status.value) for status in Status if status.value in present]
    return known + [status_text(name) for name in sorted(present)]


def _evidence(cell: CellView) -> list[tuple[str, str]]:
    found = part(cell.raw, "evidence")
    return [(one_line(key, 40).replace("_", " "), _short(value)) for key, value in found.items()
            if value is not None and value not in ({}, [], "")]


def _trials(cell: CellView) -> tuple[str, list[tuple[str, str]]]:
    """("3 of 3 valid", [(trial, why it does not count)])."""
    trials = part(cell.raw, "trials")
    invalid = [(f"trial {one_line(i.get('trial'), 60)}" + (f", attempt {one_line(i['attempt'], 20)}" if i.get("attempt") else ""),
                one_line(i.get("reason"), 300)) for i in items(trials.get("invalid")) if isinstance(i, Mapping)]
    asked, valid = (one_line(trials.get(key), 20) or "–" for key in ("asked", "valid"))
    left_out = f", {len(invalid)} left out" if invalid else ""
    return f"{valid} valid of {asked} asked for{left_out}", invalid


def _measured_as(cell: CellView) -> list[tuple[str, str]]:
    """The cell's own coordinates and how steady its trials were."""
    raw, stability = cell.raw, part(cell.raw, "stability")
    known = [(one_line(k, 40).replace("_", " "), v) for k, v in stability.items() if v is not None and k != "null_reasons"]
    words = ("backend", "backend_version", "host", "device", "precision", "isolation")
    pairs = [
        ("", ", ".join(text for key in words if (text := one_line(raw.get(key), 60)))),
        ("settings", settings_text(cell)),
        ("machine state", one_line(raw.get("state"), 60)),
        ("stability", ", ".join(f"{k} {_short(v)}" for k, v in known)),
        ("phase", one_line(raw.get("phase"), 40)),
    ]
    return [(key, value) for key, value in pairs if value.strip()]


def _short(value: Any) -> str:
    """A number with two digits, a list of words as words."""
    number = finite(value)
    if number is not None:
        return f"{number:.2g}" if number != int(number) else f"{number:.0f}"
    return one_line(", ".join(map(compact, value)), 400) if isinstance(value, list) else compact(value)
