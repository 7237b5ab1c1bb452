"""What an interval says of a comparison: decided, tied or open; and how much measuring an open one still needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

MOST = 100.0  # times the pairs so far: a forecast beyond that says no more than "at least"


class Verdict(str, Enum):
    """How far a comparison has come."""

    DECIDED = "decided"  # one is faster, by more than the minimum effect
    TIED = "tied"  # whichever is faster, it is by no more than the minimum effect
    OPEN = "open"  # neither can be said yet


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What would probably settle an open comparison: more trials (of both cells together) and their time."""

    trials: int
    seconds: float | None  # None: no trial's time is known
    at_least: bool  # the forecast ends here: it may be far more, or never

    def to_json(self) -> dict[str, Any]:
        """As matrix.json holds it."""
        return {"trials": self.trials, "seconds": self.seconds, "at_least": self.at_least}


def verdict_of(interval: tuple[float, float] | None, minimum_effect: float) -> Verdict:
    """`interval`: of the ratio of latencies. Tied: all of it is within the minimum effect, in either direction."""
    if interval is None:
        return Verdict.OPEN
    low, high = interval
    bound = 1 + minimum_effect
    if low > bound or high < 1 / bound:
        return Verdict.DECIDED
    return Verdict.TIED if low >= 1 / bound and high <= bound else Verdict.OPEN


def growth(ratio: float, interval: tuple[float, float], minimum_effect: float) -> float:
    """By which factor the pairs of an open comparison must grow, if the ratio stays where it is; at least 1.

    An interval's width shrinks with the root of the number of pairs. What it must shrink to is the distance of the
    ratio from the minimum effect: to lie beyond it, or (both ends) within it. At the minimum effect itself it is infinite.
    """
    centre, bound = math.log(ratio), math.log1p(minimum_effect)
    low, high = max(centre - math.log(interval[0]), 0.0), max(math.log(interval[1]) - centre, 0.0)
    if abs(centre) > bound:
        parts = [(low if centre > 0 else high, abs(centre) - bound)]
    else:
        parts = [(low, centre + bound), (high, bound - centre)]
    return max(1.0, *((width / target) ** 2 if target > 0 else math.inf for width, target in parts))


def needs_of(more_rounds: float, pairs: int, *, round_s: float | None) -> Needs:
    """`more_rounds`: trials that each of the two cells needs; `round_s`: seconds of one trial of both."""
    most = MOST * max(pairs, 1)
    rounds = max(1, math.ceil(min(more_rounds, most)))
    return Needs(trials=2 * rounds, seconds=None if round_s is None else rounds * round_s, at_least=more_rounds > most)
