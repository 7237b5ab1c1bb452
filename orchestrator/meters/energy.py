"""Joules of a timed loop, idle power subtracted, per inference: measured, or absent with the reason (pure).

Never estimated from a TDP or a load: where there is no counter there is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.meters.series import AbsentError, Series, Window
from orchestrator.meters.sources import EnergySource, SourceKind

PER_MANY = 4096  # samples: what papers on data-flow applications give energy for


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Mean power of a source while nothing of the run was running, in W; or why there is none."""

    watts: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Metered:
    """A source with its readings and its idle power."""

    source: EnergySource
    series: Series
    idle: Idle


def idle_power(series: Series, window: Window) -> Idle:
    """The mean power within a window in which nothing ran."""
    try:
        return Idle(watts=series.within(window).amount / window.seconds)
    except AbsentError as error:
        return Idle(reason=f"idle power was not measured: {error}")


def energy_of(
    window: Window, inferences: int, metered: Sequence[Metered], *, device: SourceKind, missing: Mapping[SourceKind, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """(energy as the record holds it, null reasons below it) for a cell that ran on `device`.

    `metered` are the sources that matter: the processors' and, for a GPU's cell, that GPU's. The headline is the device's:
    all packages with their memory for a CPU, the board for a GPU; then `cpu_j_per_inference` says what the processors took.
    """
    out: dict[str, Any] = {"device": device.value, "window_s": window.seconds, "inferences": inferences}
    reasons: dict[str, str] = {}
    out["sources"] = [_source_json(one, window) for one in metered]
    headline, why = _sum([one for one in metered if one.source.kind is device], window, missing.get(device))
    names = ("j_per_inference", "j_per_4096", "gross_j_per_inference", "power_w", "idle_w", "resolution")
    out.update(dict.fromkeys(names))
    if headline is None:
        reasons.update(dict.fromkeys(names, why))
    else:
        out.update(gross_j_per_inference=headline.joules / inferences, power_w=headline.joules / window.seconds,
                   idle_w=headline.idle_w, resolution=headline.resolution)
        net, refused = headline.net(window)
        if net is None:
            reasons.update(dict.fromkeys(("j_per_inference", "j_per_4096"), refused))
            if headline.idle_w is None:
                reasons["idle_w"] = refused
        else:
            out.update(j_per_inference=net / inferences, j_per_4096=PER_MANY * net / inferences)
    out["cpu_j_per_inference"], refused = _of_processors(window, inferences, metered, missing)
    if refused:
        reasons["cpu_j_per_inference"] = refused
    return out, reasons


@dataclass(frozen=True, kw_only=True)
class _Total:
    joules: float
    idle_w: float | None
    idle_reason: str
    resolution: float

    def net(self, window: Window) -> tuple[float | None, str]:
        if self.idle_w is None:
            return None, self.idle_reason
        net = self.joules - self.idle_w * window.seconds
        if net <= 0:
            return None, (f"the timed loop drew {self.joules / window.seconds:.3g} W, no more than the {self.idle_w:.3g} W "
                          "measured while nothing ran")
        return net, ""


def _sum(metered: Sequence[Metered], window: Window, missing: str | None) -> tuple[_Total | None, str]:
    """All sources together: one that is missing leaves no sum, since part of the energy is not the energy."""
    if not metered:
        return None, missing or "there is no energy counter of this device"
    try:
        grown = [one.series.within(window) for one in metered]
    except AbsentError as error:
        return None, str(error)
    idle = [one.idle.watts for one in metered]
    known = [watts for watts in idle if watts is not None]
    return _Total(
        joules=sum(one.amount for one in grown), idle_w=sum(known) if len(known) == len(idle) else None,
        idle_reason=next((one.idle.reason for one in metered if one.idle.watts is None), ""),
        resolution=max(one.resolution for one in grown),
    ), ""


def _of_processors(
    window: Window, inferences: int, metered: Sequence[Metered], missing: Mapping[SourceKind, str]
) -> tuple[float | None, str]:
    own = [one for one in metered if one.source.kind is SourceKind.CPU]
    total, why = _sum(own, window, missing.get(SourceKind.CPU))
    if total is None:
        return None, why
    net, why = total.net(window)
    return (None, why) if net is None else (net / inferences, "")


def _source_json(one: Metered, window: Window) -> dict[str, Any]:
    try:
        joules, why = one.series.within(window).amount, None
    except AbsentError as error:
        joules, why = None, str(error)
    return {"name": one.source.name, "kind": one.source.kind.value, "meter": one.source.meter, "joules": joules,
            "idle_w": one.idle.watts, "reason": why or one.idle.reason or None}
