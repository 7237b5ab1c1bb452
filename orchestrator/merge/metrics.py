"""The metrics of a cell from its valid trials: every figure, or null and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.merge.samples import PERCENTILES, TrialNumbers, decode_samples
from orchestrator.merge.statistics import median, median_interval

NOT_ASKED = "not measured"
KEPT = "compiled: kept: the trials took what one process had compiled before them; `compiled: fresh` or cold_start measures this"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One trial that counts: its record and its samples summed up."""

    record: Mapping[str, Any]
    numbers: TrialNumbers


@dataclass(frozen=True, kw_only=True)
class _Field:
    """Where in a record a figure lies, and how the trials' figures become the cell's."""

    path: tuple[str, ...]
    over_trials: Callable[[Sequence[float]], float] = median
    reason: str = NOT_ASKED
    of_a_load: bool = False  # null where the process took what another had compiled


_ENV = "the environment's size is not known"
_ENERGY, _GPU = "energy was not measured", "no GPU was measured"
_FIELDS: Mapping[str, _Field] = {
    "threads_seen": _Field(path=("measurement", "threads_seen"), over_trials=max),
    "nr_throttled": _Field(path=("measurement", "nr_throttled"), over_trials=max),
    "throttled_s": _Field(path=("measurement", "throttled_s"), over_trials=max),
    # peaks: what a deployment must have room for, so the largest seen
    "memory_peak_mb": _Field(path=("measurement", "memory", "process_peak_mb"), over_trials=max),
    "memory_cgroup_peak_mb": _Field(path=("measurement", "memory", "cgroup_peak_mb"), over_trials=max),
    "memory_cgroup_anon_mb": _Field(path=("measurement", "memory", "cgroup_anon_mb"), over_trials=max),
    "memory_cgroup_file_mb": _Field(path=("measurement", "memory", "cgroup_file_mb"), over_trials=max),
    "memory_cgroup_working_mb": _Field(path=("measurement", "memory", "cgroup_working_mb"), over_trials=max),
    "memory_delta_mb": _Field(path=("measurement", "memory", "delta_mb"), over_trials=max),
    "container_start_ms": _Field(path=("container_start_ms",), reason="trials did not start containers"),
    "start_ms": _Field(path=("result", "phases", "start_ms")),
    "import_ms": _Field(path=("result", "phases", "import_ms")),
    "convert_ms": _Field(path=("convert", "ms"), reason="nothing to convert: the backend reads the model as it is"),
    "load_ms": _Field(path=("result", "phases", "load_ms"), of_a_load=True),
    "compile_ms": _Field(path=("result", "phases", "compile_ms"), of_a_load=True),
    "first_inference_ms": _Field(path=("measurement", "first_inference_ms"), of_a_load=True),
    "energy_j_per_inference": _Field(path=("meters", "energy", "j_per_inference"), reason=_ENERGY),
    "energy_j_per_4096": _Field(path=("meters", "energy", "j_per_4096"), reason=_ENERGY),
    "energy_gross_j_per_inference": _Field(path=("meters", "energy", "gross_j_per_inference"), reason=_ENERGY),
    "energy_cpu_j_per_inference": _Field(path=("meters", "energy", "cpu_j_per_inference"), reason=_ENERGY),
    "power_w": _Field(path=("meters", "energy", "power_w"), reason=_ENERGY),
    "idle_power_w": _Field(path=("meters", "energy", "idle_w"), reason=_ENERGY),
    "gpu_memory_mb": _Field(path=("meters", "gpu", "memory_process_mb"), over_trials=max, reason=_GPU),
    "gpu_utilization": _Field(path=("meters", "gpu", "during", "utilization", "median"), reason=_GPU),
    "gpu_sm_mhz": _Field(path=("meters", "gpu", "during", "sm_mhz", "median"), reason=_GPU),
    "gpu_temperature_c": _Field(path=("meters", "gpu", "during", "temperature_c", "max"), over_trials=max, reason=_GPU),
    "gpu_slowed_share": _Field(path=("meters", "gpu", "slowed_share"), over_trials=max, reason=_GPU),
    "gpu_foreign_processes": _Field(path=("meters", "gpu", "foreign_processes"), over_trials=max, reason=_GPU),
    "install_mb": _Field(path=("env", "size_mb"), reason=_ENV),
    "packages": _Field(path=("env", "packages"), reason=_ENV),
}
_DETAILS = "details."
_RATES = ("cpu_utilization", "cpu_time_s_per_inference", "voluntary_switches_per_s", "involuntary_switches_per_s")
_COUNTS = frozenset({"threads_seen", "nr_throttled", "packages", "gpu_foreign_processes"})


def no_metrics() -> dict[str, Any]:
    """All metrics null: a cell without an estimate."""
    return {
        "latency_ms": dict.fromkeys(("min", "mean", *PERCENTILES, "ci95")), "throughput_ips": None,
        "throughput_ci95": None, **dict.fromkeys(_RATES),
        "device_latency_ms": None, **dict.fromkeys(_FIELDS),
        "details": {},
    }


def metrics_of(trials: Sequence[Measured], batch: int) -> tuple[dict[str, Any], dict[str, str]]:
    """(metrics, null reasons by path) from at least one trial that counts. An inference is one row of a batch.

    Figures are medians over trials; peaks and counts the largest.
    """
    metrics, reasons = no_metrics(), {}
    numbers = [trial.numbers for trial in trials]
    metrics["latency_ms"], found = _latency(numbers)
    reasons.update({f"metrics.latency_ms.{name}": why for name, why in found.items()})
    rates = [one.throughput_ips for one in numbers if one.throughput_ips is not None]
    metrics["throughput_ips"] = median(rates) if rates else None
    interval = median_interval(rates)
    metrics["throughput_ci95"] = None if interval is None else list(interval)
    if not rates:
        reasons["metrics.throughput_ips"] = reasons["metrics.throughput_ci95"] = "it happens once in a process: there is no rate"
    elif interval is None:
        reasons["metrics.throughput_ci95"] = "one trial; an interval needs two"
    details, found = _details(trials)
    reasons.update(found)
    metrics["details"] = {name: median(values) for name, values in details.items()}
    ends = {name: list(interval) for name, values in details.items() if (interval := median_interval(values)) is not None}
    metrics.update({"details_ci95": ends} if ends else {})
    for name, value, why in (_cpu(trials, batch), _on_device(trials), *(_field(name, trials) for name in _FIELDS)):
        figures = value if isinstance(value, dict) else {name: value}
        metrics.update(figures)
        if why is not None:
            reasons.update({f"metrics.{part}": why for part, figure in figures.items() if figure is None})
    return metrics, reasons


def _details(trials: Sequence[Measured]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The scenario's own figures, by dotted path, of each trial that has them; and reasons for what lacks.

    A figure that some trial says it could not have is null: the median of the others would flatter the cell.
    """
    found: dict[str, list[float]] = {}
    lacking: dict[str, list[str]] = {}
    for trial in trials:
        measurement = trial.record["measurement"]
        _leaves(measurement.get("details") or {}, "", found)
        for path, why in (measurement.get("null_reasons") or {}).items():
            if path.startswith(_DETAILS):
                lacking.setdefault(path[len(_DETAILS):], []).append(str(why))
    known = {name: values for name, values in sorted(found.items()) if name not in lacking}
    of = f"of {len(trials)} trials"
    reasons = {f"metrics.{_DETAILS}{name}": f"in {len(whys)} {of}: {whys[0]}" for name, whys in sorted(lacking.items())}
    return known, reasons


def _leaves(value: Mapping[str, Any], path: str, found: dict[str, list[float]]) -> None:
    for name, part in value.items():
        if isinstance(part, Mapping):
            _leaves(part, f"{path}{name}.", found)
        elif isinstance(part, (int, float)) and not isinstance(part, bool) and math.isfinite(part):
            found.setdefault(path + name, []).append(float(part))


def _latency(numbers: Sequence[TrialNumbers]) -> tuple[dict[str, Any], dict[str, str]]:
    fewest = min(one.count for one in numbers)
    out: dict[str, Any] = {"min": min(one.minimum for one in numbers), "mean": median([one.mean for one in numbers])}
    reasons = {}
    for name, (_, needed) in PERCENTILES.items():
        known = [value for one in numbers if (value := one.percentiles[name]) is not None]
        # trials that were cut short are the slow ones: leaving only them out would flatter the cell
        out[name] = median(known) if len(known) == len(numbers) else None
        if out[name] is None:
            reasons[name] = f"{fewest:,} samples per trial; {needed:,} needed"
    middles = [value for one in numbers if (value := one.percentiles["p50"]) is not None]
    interval = median_interval(middles) if out["p50"] is not None else None
    out["ci95"] = None if interval is None else list(interval)
    if interval is None:
        reasons["ci95"] = reasons.get("p50", "one trial; an interval needs two")
    return out, reasons


def _cpu(trials: Sequence[Measured], batch: int) -> tuple[str, dict[str, float | None], str | None]:
    """What the processes took of the CPUs, and how often they were switched, per second or per inference."""
    found: dict[str, list[float]] = {name: [] for name in _RATES}
    for trial in trials:
        cpu, wall, calls, waited, taken = (_value(trial.record, ("measurement", name)) for name in (
            "cpu_time_s", "wall_s", "iterations", "voluntary_switches", "involuntary_switches"))
        if wall and calls:
            rate = _value(trial.record, ("measurement", "throughput_ips"))  # given where a call is not a batch of its own
            rates = (cpu, wall), (cpu, calls * batch if rate is None else rate * wall), (waited, wall), (taken, wall)
            for name, (part, whole) in zip(_RATES, rates, strict=True):
                found[name] += [] if part is None else [part / whole]
    why = None if all(found.values()) else _reason(trials, _Field(path=("measurement", "cpu_time_s")))
    return "cpu", {name: median(values) if values else None for name, values in found.items()}, why


def _on_device(trials: Sequence[Measured]) -> tuple[str, float | None, str | None]:
    """Median over the trials' medians of the time without the copies to the device and back, in ms."""
    path = ("measurement", "device_resident")
    medians = []
    for trial in trials:
        resident = trial.record["measurement"].get("device_resident")
        if isinstance(resident, Mapping):
            medians.append(float(np.median(decode_samples(resident["samples"]))) / 1e6)
    if medians:
        return "device_latency_ms", median(medians), None
    return "device_latency_ms", None, _reason(trials, _Field(path=path))


def _field(name: str, trials: Sequence[Measured]) -> tuple[str, float | int | None, str | None]:
    field = _FIELDS[name]
    if field.of_a_load and any(trial.record.get("compiled") for trial in trials):
        return name, None, KEPT
    known = [value for trial in trials if (value := _value(trial.record, field.path)) is not None]
    if not known:
        return name, None, _reason(trials, field)
    value = field.over_trials(known)
    return name, round(value) if name in _COUNTS else value, None


def _value(record: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = record
    for key in path:
        if not isinstance(found, dict):  # read from JSON: no other mapping occurs, and asking for one takes five times as long
            return None
        found = found.get(key)
    if found is None or isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return float(found)


def _reason(trials: Sequence[Measured], field: _Field) -> str:
    """What the runner said about the null, else the field's own words."""
    for trial in trials:
        part: Any = trial.record.get(field.path[0])
        said = part.get("null_reasons") if isinstance(part, Mapping) else None
        for end in range(len(field.path), 1, -1):  # its own reason, or that of what it is part of
            why = said.get(".".join(field.path[1:end])) if isinstance(said, Mapping) else None
            if why:
                return str(why)
    return field.reason
