"""One cell of matrix.json, read leniently: what is missing or of a wrong type becomes None with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.report.metrics import LATENCY, Metric, View
from orchestrator.report.scenarios import SUMMED, Figure, detail_words, figure_of
from orchestrator.report.status import Family, StatusText, status_text
from orchestrator.report.text import one_line
from orchestrator.report.units import Scale, Unit, finite, quantity, time_scale, with_interval

NO_REASON = "no reason was recorded"
_DETAILS = "details."


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure as text; where there is none, `text` is a dash and `why` says why not."""

    text: str
    interval: str | None = None
    why: str | None = None
    note: str | None = None  # what stands in small print below it


@dataclass(frozen=True, kw_only=True)
class CellView:
    """A cell as the reports use it."""

    anchor: str  # made here: an id from outside could be anything
    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw.get("id", ""))

    @property
    def label(self) -> str:
        return one_line(self.raw.get("label") or self.raw.get("backend") or "?", 80)

    @property
    def status(self) -> StatusText:
        return status_text(self.raw.get("status"))

    @property
    def is_ok(self) -> bool:
        return self.status.family is Family.GOOD

    @property
    def has_figures(self) -> bool:
        """Whether its figures may be shown in the grid: never for a wrong answer or a fallback."""
        return self.is_ok or (self.status.family is Family.SHAKY and self.value(LATENCY) is not None)

    @property
    def is_best(self) -> bool:
        """The merge flagged it, and it has a right answer."""
        return self.raw.get("best") is True and self.is_ok

    @property
    def tied_with(self) -> frozenset[str]:
        return frozenset(str(other) for other in items(self.raw.get("tied_with"))) if self.is_ok else frozenset()

    @property
    def reason(self) -> str:
        return one_line(self.raw.get("reason"), 600) or ("" if self.is_ok else NO_REASON)

    @property
    def verdict(self) -> str | None:
        verdict = part(self.raw, "stability").get("verdict")
        return one_line(verdict, 20) if verdict else None

    @property
    def not_comparable(self) -> str | None:
        """Why an ok cell's outputs were held against nothing; None where they were, or where it is not ok."""
        why = part(self.raw, "null_reasons").get("fidelity")
        return one_line(why) if self.is_ok and why and self.raw.get("fidelity") is None else None

    @property
    def batches_by_rows(self) -> bool:
        """The backend has no batch dimension: N rows were run one by one."""
        return part(self.raw, "evidence").get("batching") in ("loop", "rows") and self.raw.get("batch") != 1

    @property
    def figure(self) -> Figure:
        """The figure that its scenario is about."""
        return figure_of(self.raw.get("scenario"))

    @property
    def cost(self) -> float:
        """What it is compared by, less being better, on a scale of its own; 0 where it has no figure."""
        value = self.value(self.figure.path) or 0.0
        return 1 / value if value and self.figure.more_is_better else value

    def value(self, path: str) -> float | None:
        """A metric by its path below `metrics`; the scenario's own are below `details`, by one dotted name each."""
        found: Any = self.raw.get("metrics")
        for key in _keys(path):
            found = found.get(key) if isinstance(found, Mapping) else None
        return finite(found)

    def interval(self, path: str) -> tuple[float, float] | None:
        """The 95 % confidence interval of a metric, where it has one."""
        metrics = part(self.raw, "metrics")
        if path == LATENCY:
            pair = part(metrics, "latency_ms").get("ci95")
        elif path == "throughput_ips":
            pair = metrics.get("throughput_ci95")
        elif path.startswith(_DETAILS):
            pair = part(metrics, "details_ci95").get(path[len(_DETAILS):])
        else:
            return None
        low, high = ([finite(end) for end in items(pair)] + [None, None])[:2]
        return None if low is None or high is None else (low, high)

    def why_null(self, path: str) -> str:
        """Why `metrics.<path>` is null: its own reason, that of what it is part of, or the cell's."""
        reasons = part(self.raw, "null_reasons")
        keys = path.split(".")
        for root in ("metrics.", "phases.", ""):
            for end in range(len(keys), 0, -1):
                if reason := reasons.get(root + ".".join(keys[:end])):
                    return one_line(reason)
        if reason := reasons.get("metrics"):
            return one_line(reason)
        return NO_REASON if self.has_figures else f"{self.status.title}: {self.reason}"

    def shown(self, path: str, unit: Unit, scale: Scale | None = None) -> Shown:
        """A metric with its interval, or a dash and the reason."""
        value = self.value(path)
        if value is None:
            return Shown(text="–", why=self.why_null(path))
        ends = self.interval(path)
        if ends is None:
            return Shown(text=quantity(value, unit, scale), note=self._why_no_interval(path))
        chosen = scale or time_scale([value])
        factor = chosen.factor if unit is Unit.MS else 1.0
        text, interval = with_interval(value * factor, ends[0] * factor, ends[1] * factor)
        return Shown(text=f"{text} {chosen.sign}" if unit is Unit.MS else f"{text}{unit.value}", interval=interval)

    def in_view(self, view: View, scale: Scale | None = None) -> Shown:
        """What the grid shows of it in one view."""
        if view is View.LATENCY:
            return self._headline(scale)
        if view is View.THROUGHPUT:
            return self.shown("throughput_ips", Unit.PER_SECOND)
        if view is View.MEMORY:
            return self._with_note("memory_peak_mb", Unit.MB, "memory_delta_mb", "+{} beyond loading")
        load = self.load_ms
        if load is None:
            return Shown(text="–", why=self.why_null("load_ms"))
        first = self.value("first_inference_ms")
        return Shown(text=quantity(load, Unit.MS),
                     note=None if first is None else f"first inference {quantity(first, Unit.MS)}")

    def _why_no_interval(self, path: str) -> str | None:
        key = {LATENCY: "metrics.latency_ms.ci95", "throughput_ips": "metrics.throughput_ci95"}.get(path)
        reason = part(self.raw, "null_reasons").get(key) if key else None
        return f"no interval: {one_line(reason)}" if reason else None

    @property
    def load_ms(self) -> float | None:
        """Load and compile together: backends draw the line between the two differently."""
        load, compiling = self.value("load_ms"), self.value("compile_ms")
        return None if load is None else load + (compiling or 0.0)

    def view_value(self, view: View) -> float | None:
        """The bare number behind `in_view`."""
        path = {View.LATENCY: self.figure.path, View.THROUGHPUT: "throughput_ips", View.MEMORY: "memory_peak_mb"}.get(view)
        return self.load_ms if path is None else self.value(path)

    def beside(self, scale: Scale | None = None) -> Shown:
        """The second figure: throughput; beside throughput, latency."""
        if self.figure.path == "throughput_ips":
            return self.shown(LATENCY, Unit.MS, scale)
        return self.in_view(View.THROUGHPUT)

    def _headline(self, scale: Scale | None) -> Shown:
        figure = self.figure
        if figure.path == LATENCY:
            return self.shown(LATENCY, Unit.MS, scale)
        shown, latency = self.shown(figure.path, figure.unit, scale), self.value(LATENCY)
        if latency is None or shown.why is not None:
            return shown
        return Shown(text=shown.text, interval=shown.interval, note=f"p50 {quantity(latency, Unit.MS)}")

    def _with_note(self, path: str, unit: Unit, second: str, words: str) -> Shown:
        shown, other = self.shown(path, unit), self.value(second)
        if other is None or shown.why is not None:
            return shown
        return Shown(text=shown.text, note=words.format(quantity(other, unit)))


def metric_value(cell: CellView, metric: Metric) -> Shown:
    """A metric for the detail list."""
    return cell.shown(metric.path, metric.unit)


def metric_title(cell: CellView, metric: Metric) -> str:
    """The metric's title, or what it is where several processes ran."""
    several = cell.raw.get("instances") not in (None, 1) or part(cell.raw, "options").get("layout") == "processes"
    return SUMMED.get(metric.path, metric.title) if several else metric.title


def detail_items(cell: CellView) -> list[tuple[str, Shown]]:
    """(title, figure) of all that the scenario measured beside the metrics, or should have."""
    found, lacking = [], f"metrics.{_DETAILS}"
    names = {key[len(lacking):] for key in part(cell.raw, "null_reasons") if key.startswith(lacking)}
    for name in sorted(names | set(part(part(cell.raw, "metrics"), "details"))):
        title, unit = detail_words(name)
        found.append((title, cell.shown(_DETAILS + name, unit)))
    return found


def fidelity_items(cell: CellView) -> list[tuple[str, str]]:
    """(name, value) of every fidelity figure there is; where the reference came from stands with the model."""
    if cell.not_comparable:
        return [("", cell.not_comparable)]
    return [(one_line(key, 40).replace("_", " "), _digits(value)) for key, value in part(cell.raw, "fidelity").items()
            if key != "reference_source" and value not in (None, {})]


def _keys(path: str) -> list[str]:
    return ["details", path[len(_DETAILS):]] if path.startswith(_DETAILS) else path.split(".")


def part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A nested object, or an empty one."""
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def items(found: object) -> Sequence[Any]:
    """A list, or an empty one."""
    return found if isinstance(found, (list, tuple)) else ()


def _digits(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(key, 40).replace('_', ' ')} {_digits(inner)}" for key, inner in value.items())
    number = finite(value)
    if number is None:
        return one_line(value, 120)
    if number == int(number) and abs(number) < 1e9:
        return f"{int(number):,}"
    return f"{number:.7g}" if 0.9 < number < 1 else f"{number:.3g}"
