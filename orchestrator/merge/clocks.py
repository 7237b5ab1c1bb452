"""What the CPUs' clock did to each trial, taken out of the trials before they are compared.

A neighbour on the other thread of a core slows a virtual CPU by half for a second or two at a time. Trials of two cells that
are paired by round are some seconds apart, so it does not cancel in their ratio, and no probe around a trial can tell what
happened in its middle. The runner therefore times a fixed piece of work now and then within the timed loop
(`runners/watch.py`), and this is analysis of covariance (Cox & McCullagh 1982, "Some aspects of analysis of covariance"):
within each cell and machine state, log latency is regressed on the logs of those readings, one pair of slopes for all cells
that are compared with each other, and each trial is set to the readings' mean. Which trial meets which clock is chance, for
their order is random: a slope that is not quite right for one of the cells costs precision and favours nobody. Without
readings for every trial of a group, or with too few trials, nothing is changed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.merge.series import Series

Floats = npt.NDArray[np.float64]

FEWEST_FREE = 8  # degrees of freedom that must be left for the slopes to mean something
STEADY = 0.01  # standard deviation of a clock's log, below which there is nothing to take out
STEEPEST = 1.2  # latency cannot change by much more than the clock does
_TURNS = 20
_TUNING = 1.345  # Huber's: 95 % efficient where the noise is normal, bounded where a trial is wild


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """How latency went with the clocks in one group of comparable cells: latency ∝ own^a · all^b."""

    own: float  # of the CPU that the measuring thread was on
    all: float  # of all CPUs of the trial, their geometric mean
    spread: float  # the widest ratio of two readings of the group


def at_equal_clocks(members: Sequence[Series]) -> tuple[list[Series], Slopes | None]:
    """The cells of one group with every trial's median set to the group's mean clock; None where nothing was to be done."""
    rows = [(number, state, turn, one.medians_ms[state][turn], one.clocks.get(state, {}).get(turn))
            for number, one in enumerate(members) for state in sorted(one.medians_ms) for turn in sorted(one.medians_ms[state])]
    if len(members) < 2 or not rows or any(clock is None for *_, clock in rows):
        return list(members), None
    latency = np.log([row[3] for row in rows])
    clocks = np.log(np.array([row[4] for row in rows], dtype=np.float64))
    blocks: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, (number, state, *_) in enumerate(rows):
        blocks[number, state].append(index)
    free = len(rows) - len(blocks) - clocks.shape[1]
    slopes = _slopes(_centred(latency, blocks.values()), _centred(clocks, blocks.values())) if free >= FEWEST_FREE else None
    if slopes is None or not slopes.any():
        return list(members), None
    even = latency - (clocks - clocks.mean(axis=0)) @ slopes
    set_to: list[dict[str, dict[int, float]]] = [defaultdict(dict) for _ in members]
    for (number, state, turn, *_), value in zip(rows, even, strict=True):
        set_to[number][state][turn] = math.exp(value)
    spread = float(np.exp(np.ptp(clocks, axis=0).max()))
    out = [replace(one, medians_ms={state: dict(found) for state, found in medians.items()})
           for one, medians in zip(members, set_to, strict=True)]
    return out, Slopes(own=float(slopes[0]), all=float(slopes[1]), spread=spread)


def clock_of(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """What a trial's looks at the clocks gave: (the measuring thread's, all CPUs' geometric mean) in µs; None without them."""
    clock = (record.get("measurement") or {}).get("clock")
    return None if not clock else (float(clock["own_us"]), geometric_mean(map(float, clock["cpus_us"])))


def _centred(values: Floats, blocks: Iterable[list[int]]) -> Floats:
    """Less the block's median: a wild trial must not move its cell."""
    out = np.array(values, dtype=np.float64)
    for block in blocks:
        out[block] -= np.median(out[block], axis=0)
    return out


def _slopes(latency: Floats, clocks: Floats) -> Floats | None:
    """Non-negative slopes by Huber's regression through the origin; None where the clocks stood still."""
    from scipy import optimize  # only here: a run with nothing to merge need not wait for it

    if clocks.std(axis=0).max() < STEADY:
        return None
    slopes = np.zeros(clocks.shape[1])
    weights = np.ones(latency.size)
    for _ in range(_TURNS):
        root = np.sqrt(weights)
        found, _ = optimize.nnls(clocks * root[:, None], latency * root)
        if np.allclose(found, slopes, atol=1e-6):
            break
        slopes = found
        rest = np.abs(latency - clocks @ slopes)
        scale = 1.4826 * float(np.median(rest)) or 1e-9
        weights = np.minimum(1.0, _TUNING * scale / np.maximum(rest, 1e-12))
    total = float(slopes.sum())
    return slopes * (STEEPEST / total) if total > STEEPEST else slopes
