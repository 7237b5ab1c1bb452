"""What each scenario is about: the figure its cells are compared by, and words for figures of its own.

A scenario that brings figures adds a line to `FIGURES` (unless it is about latency) and its details' titles to `DETAILS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.report.metrics import LATENCY
from orchestrator.report.text import one_line
from orchestrator.report.units import Unit


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The one figure that stands in the grid first; `path` is below `metrics`."""

    path: str
    unit: Unit
    name: str
    axis: str = ""  # what a plot writes beside its axis, where that is no unit of time
    more_is_better: bool = False


BY_LATENCY = Figure(path=LATENCY, unit=Unit.MS, name="Latency (p50)")
BY_THROUGHPUT = Figure(
    path="throughput_ips", unit=Unit.PER_SECOND, name="Throughput", axis="inferences/s", more_is_better=True
)
BY_RATE = Figure(
    path="throughput_ips", unit=Unit.PER_SECOND, name="Highest rate within the latency target", axis="requests/s",
    more_is_better=True,
)
FIGURES: Mapping[str, Figure] = {"multi_instance": BY_THROUGHPUT, "ensemble": BY_THROUGHPUT, "server": BY_RATE}

_SUFFIXES: Mapping[str, Unit] = {"_ms": Unit.MS, "_ips": Unit.PER_SECOND, "_mb": Unit.MB, "_s": Unit.SECONDS, "_j": Unit.JOULE}
DETAILS: Mapping[str, tuple[str, Unit]] = {
    # dotted path below `metrics.details`, * for one part that is shown in the title's place {} → title, unit
    "window_ms": ("Window in which all measured", Unit.MS),
    "fastest_p50_ms": ("Latency p50, fastest instance", Unit.MS),
    "slowest_p50_ms": ("Latency p50, slowest instance", Unit.MS),
    "instance.*.p50_ms": ("Instance {}: latency p50", Unit.MS),
    "instance.*.throughput_ips": ("Instance {}: throughput", Unit.PER_SECOND),
    "gain": ("Together ÷ one after the other (1 = no gain)", Unit.PLAIN),
    "expected_ips": ("One after the other: harmonic sum of the members alone", Unit.PER_SECOND),
    "member.*.alone_ips": ("{} alone: throughput", Unit.PER_SECOND),
    "member.*.alone_p50_ms": ("{} alone: latency p50", Unit.MS),
    "rate.target_qps": ("Rate asked of LoadGen", Unit.PER_SECOND),
    "rate.scheduled_qps": ("Rate at which requests came due", Unit.PER_SECOND),
    "rate.completed_qps": ("Rate at which they were answered", Unit.PER_SECOND),
    "rate.capacity_qps": ("Answered a second when flooded", Unit.PER_SECOND),
    "rate.lowest_failed_qps": ("Lowest rate that failed", Unit.PER_SECOND),
    "latency_ms.*": ("Latency from the time due, {}", Unit.MS),
    "bound.latency_ms": ("99 % bound of the target's percentile (LoadGen's early stopping)", Unit.MS),
    "bound.over_target": ("Requests over the target", Unit.COUNT),
    "batch.mean": ("Mean batch", Unit.PLAIN),
    "batch.largest": ("Largest batch", Unit.COUNT),
    "queue.mean": ("Queue, mean", Unit.PLAIN),
    "queue.largest": ("Queue, largest", Unit.COUNT),
    "queue.growth_per_s": ("Queue, growth a second", Unit.PLAIN),
    "loadgen.delay_p99_ms": ("Lateness of LoadGen itself, p99", Unit.MS),
    "search.runs": ("Runs of the search", Unit.COUNT),
    "search.seconds": ("Time of the search", Unit.SECONDS),
    "harness_ms": ("Of the harness itself, left out", Unit.MS),
    "steady.ms": ("From nothing to a steady state", Unit.MS),
    "steady.inferences": ("Inferences until it was steady", Unit.COUNT),
    "steady.latency_ms": ("Latency once steady", Unit.MS),
    "steady.looked_at": ("Inferences looked at", Unit.COUNT),
    "major_page_faults": ("Page faults that waited for the disk", Unit.COUNT),
    "cache.mb": ("The backend's cache", Unit.MB),
    "cache.files": ("Files in it", Unit.COUNT),
}
# Of several processes: what a column that says one thing for a single process says of their sum.
SUMMED: Mapping[str, str] = {
    "memory_peak_mb": "Memory, sum of the processes' peaks (what they share counts in each)",
    "memory_delta_mb": "Memory, beyond loading, sum of the processes",
    "threads_seen": "Threads seen, sum of the processes",
}


def figure_of(scenario: object) -> Figure:
    """Latency, where nothing else is said."""
    return FIGURES.get(str(scenario), BY_LATENCY)


def detail_words(path: str) -> tuple[str, Unit]:
    """Title and unit of a detail; of one that no table knows, its own words and what its ending says."""
    for pattern, (title, unit) in DETAILS.items():
        match = re.fullmatch(re.escape(pattern).replace(r"\*", "(.+?)"), path)
        if match:
            return title.format(*(one_line(part, 60) for part in match.groups())), unit
    for suffix, unit in _SUFFIXES.items():
        if path.endswith(suffix):
            return _plain(path[: -len(suffix)]), unit
    return _plain(path), Unit.PLAIN


def _plain(path: str) -> str:
    words = one_line(path, 80).replace(".", " ").replace("_", " ")
    return words[:1].upper() + words[1:]
