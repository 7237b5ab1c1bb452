"""A GPU before, during and after a timed loop, from the snapshots around it (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from orchestrator.meters.nvml import SLOWED, GpuSnapshot
from orchestrator.meters.series import Window

FIGURES = ("sm_mhz", "memory_mhz", "temperature_c", "power_w", "utilization", "memory_used_mb", "performance_state")


@dataclass(frozen=True, kw_only=True)
class Family:
    """The trial's own processes, by the host's numbers; `unknown` says why they could not be told from others'."""

    pids: frozenset[int] = frozenset()
    unknown: str | None = None


def gpu_state(window: Window, snapshots: Sequence[GpuSnapshot], family: Family) -> tuple[dict[str, Any], dict[str, str]]:
    """(what the record holds of the GPU, null reasons by path below it); `snapshots` in order of time."""
    before = [one for one in snapshots if one.at_ns < window.begin_ns][-1:]
    during = [one for one in snapshots if window.begin_ns <= one.at_ns <= window.end_ns]
    after = [one for one in snapshots if one.at_ns > window.end_ns][:1]
    reasons: dict[str, str] = {}
    out: dict[str, Any] = {"snapshots": len(during)}
    for name, some in (("before", before), ("after", after)):
        out[name] = {figure: some[0].values.get(figure) for figure in FIGURES} if some else None
        if not some:
            reasons[name] = f"NVML was not asked {name} the timed loop"
        else:
            reasons.update(_refused(name, some))
    if not during:
        why = f"NVML was not asked within the timed loop of {window.seconds:.2g} s"
        reasons.update(dict.fromkeys(("during", "throttled_by", "slowed_share"), why))
        out.update(during=None, throttled_by=None, slowed_share=None)
    else:
        out["during"] = {figure: _spread([one.values[figure] for one in during if figure in one.values]) for figure in FIGURES}
        reasons.update(_refused("during", during))
        out.update(_throttling(during, reasons))
    out.update(_processes(during, family, reasons))
    return out, reasons


def disturbance(snapshots: Sequence[GpuSnapshot], family: Family) -> dict[str, Any]:
    """What sets a trial apart from its peers, over all of it: foreign processes (null where unknown), slowing reasons."""
    reasons: dict[str, str] = {}
    foreign = _processes(snapshots, family, reasons)["foreign_processes"]
    slowed = sorted(set().union(*(one.throttled_by & SLOWED for one in snapshots)))
    return {"foreign_processes": foreign, "slowed_by": slowed, "null_reasons": reasons}


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"min": min(values), "median": median(values), "max": max(values)} if values else None


def _refused(name: str, snapshots: Sequence[GpuSnapshot]) -> dict[str, str]:
    """Reasons for the figures that no snapshot has."""
    had = set().union(*(one.values for one in snapshots))
    said: Mapping[str, str] = {figure: why for one in snapshots for figure, why in one.reasons.items()}
    return {f"{name}.{figure}": said.get(figure, "NVML did not say") for figure in FIGURES if figure not in had}


def _throttling(during: Sequence[GpuSnapshot], reasons: dict[str, str]) -> dict[str, Any]:
    """For what share of the snapshots each reason held, and for what share any that slows the GPU down did."""
    asked = [one for one in during if "throttle_bits" in one.values]
    if not asked:
        why = during[0].reasons.get("throttle_bits", "NVML did not say")
        reasons.update(throttled_by=why, slowed_share=why)
        return {"throttled_by": None, "slowed_share": None}
    counts = Counter(name for one in asked for name in one.throttled_by)
    slowed = sum(1 for one in asked if one.throttled_by & SLOWED)
    return {"throttled_by": {name: count / len(asked) for name, count in sorted(counts.items())},
            "slowed_share": slowed / len(asked)}


def _processes(snapshots: Sequence[GpuSnapshot], family: Family, reasons: dict[str, str]) -> dict[str, Any]:
    """The trial's own memory on the GPU at its peak, and how many processes of others were seen there at once."""
    listed = [one.processes for one in snapshots if one.processes is not None]
    out: dict[str, Any] = {"memory_process_mb": None, "foreign_processes": None}
    if family.unknown is not None or not listed:
        said = next((one.reasons["processes"] for one in snapshots if "processes" in one.reasons), None)
        reasons.update(dict.fromkeys(out, family.unknown or said or "NVML was not asked within the timed loop"))
        return out
    out["foreign_processes"] = max(sum(1 for one in some if one.pid not in family.pids) for some in listed)
    own = [[one.memory_mb for one in some if one.pid in family.pids] for some in listed]
    sums = [sum(part for part in some if part is not None) for some in own if some and None not in some]
    if sums:
        out["memory_process_mb"] = max(sums)
    elif any(own):
        reasons["memory_process_mb"] = "the driver does not tell the memory of single processes"
    else:
        reasons["memory_process_mb"] = "NVML showed no process of the trial on this GPU"
    return out
