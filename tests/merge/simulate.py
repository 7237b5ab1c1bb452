"""Made-up matrices for the decision rule: how often it errs, and what it finds. Shared with benchmarks/decision_power.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from orchestrator.merge.compare import Comparison, Series, compare

FLIP = 1.8  # how much slower a cell was in the other machine state
PLANTED = "g0c0"


class Noise(str, Enum):
    """How trial medians scatter around their cell's truth, in the logarithm."""

    NORMAL = "lognormal"
    MIXED = "cells from ¼ to 4 × as noisy"
    HEAVY = "heavy tails (t with 2 degrees of freedom)"
    FLIPS = "1 trial in 10 in another state, unnoticed"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A matrix: groups of cells that are compared with each other, each with so many trials."""

    cells: int
    groups: int
    trials: int

    @property
    def comparisons(self) -> int:
        return self.groups * self.cells * (self.cells - 1) // 2


def scatter(rng: np.random.Generator, shape: Shape, noise: Noise, sigma: float) -> npt.NDArray[np.float64]:
    """Log-medians of (groups, cells, trials) around 0."""
    size = (shape.groups, shape.cells, shape.trials)
    if noise is Noise.HEAVY:
        return sigma * 0.6 * rng.standard_t(2, size)
    logs = rng.normal(0, sigma, size)
    if noise is Noise.MIXED:
        logs = logs * np.exp(rng.uniform(-np.log(4), np.log(4), (shape.groups, shape.cells, 1)))
    if noise is Noise.FLIPS:
        logs = logs + (rng.random(size) < 0.1) * np.log(FLIP)
    # what hits a whole round hits all its cells alike
    return np.asarray(logs + rng.normal(0, 0.02, (shape.groups, 1, shape.trials)))


def compared(logs: npt.NDArray[np.float64], slowdown: float = 0.0) -> list[Comparison]:
    """All comparisons; the first cell of the first group is slower by `slowdown`."""
    series = []
    for g, group in enumerate(logs):
        for c, row in enumerate(group):
            extra = 1 + slowdown if (g, c) == (0, 0) else 1.0
            rounds = {r: extra * float(np.exp(value)) for r, value in enumerate(row)}
            series.append(Series(id=f"g{g}c{c}", group=(("model", f"m{g}"),), medians_ms={"s1": rounds}))
    return compare(series)


def rates(shape: Shape, noise: Noise, sigma: float, *, slowdown: float, repeats: int, seed: int = 1) -> tuple[float, float]:
    """(matrices with any false winner, matrices in which the planted cell was found slower than all its rivals)."""
    rng = np.random.default_rng(seed)
    false = found = 0
    for _ in range(repeats):
        everything = compared(scatter(rng, shape, noise, sigma), slowdown)
        planted = [one for one in everything if slowdown and PLANTED in (one.a, one.b)]
        false += any(one.decided for one in everything if one not in planted)
        found += bool(planted) and all(one.faster not in (None, PLANTED) for one in planted)
    return false / repeats, found / repeats
