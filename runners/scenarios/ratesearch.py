"""The search for the highest rate that holds: short runs bracket it, a full run proves it. Pure but for the runs themselves."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Callable, List, Optional

PRECISION = 0.02  # of the bracket: the differences that comparisons look for
MAX_SHORT = 16
UP, DOWN = 1.4, 0.6
BACK_OFF = 0.03  # below a rate whose full run failed; doubles each time, up to the last step
LAST_STEP = 0.25


class Length(Enum):
    """Of a run: one that brackets the rate, or one that proves it."""

    SHORT = "short"
    FULL = "full"


@dataclass(frozen=True)
class Tried:
    """One run at one rate."""

    rate: float
    length: Length
    holds: bool


@dataclass
class Search:
    """What became of a search. `rate` held in a full run, and lies below every rate that failed; None: there is none."""

    rate: Optional[float] = None
    tried: List[Tried] = field(default_factory=list)
    out_of_time: bool = False

    @property
    def lowest_failed(self) -> Optional[float]:
        """None where every rate held."""
        return min((one.rate for one in self.tried if not one.holds), default=None)


def highest_rate(
    holds: Callable[[float, Length], bool], cost: Callable[[float, Length], float], left: Callable[[], float], *,
    start: float, floor: float,
) -> Search:
    """The highest rate at which a run holds, to PRECISION as far as time allows.

    `holds(rate, length)` makes a run, `cost(rate, length)` says how many seconds it will take, `left()` how many there are.
    `start` is where to begin, below `floor` no rate is tried.
    """
    search = Search()

    def run(rate: float, length: Length) -> bool:
        held = holds(rate, length)
        search.tried.append(Tried(rate, length, held))
        return held

    rate = _bracket(run, cost, left, search, start=start, floor=floor)
    step = BACK_OFF
    while rate is not None and rate >= floor:
        if cost(rate, Length.FULL) > left():
            search.out_of_time = True
            break
        if run(rate, Length.FULL):
            search.rate = rate
            break
        last = cost(rate, Length.FULL) <= left() < 2 * cost(rate, Length.FULL)  # better a rate that is too low than none
        rate, step = rate * (1 - (LAST_STEP if last else step)), min(LAST_STEP, 2 * step)
    return search


def _bracket(
    run: Callable[[float, Length], bool], cost: Callable[[float, Length], float], left: Callable[[], float], search: Search, *,
    start: float, floor: float,
) -> Optional[float]:
    """The highest rate that held in a short run, or None. Leaves time for two full runs."""
    low: Optional[float] = None
    high: Optional[float] = None
    rate = start
    for number in range(MAX_SHORT):
        fulls = 1 if number == 0 else 2
        if rate < floor:
            break
        if cost(rate, Length.SHORT) + fulls * cost(rate, Length.FULL) > left():
            search.out_of_time = low is None
            break
        if run(rate, Length.SHORT):
            low = rate
        else:
            high = rate
        if high is None:
            rate *= UP
        elif low is None:
            rate *= DOWN
        elif high / low <= 1 + PRECISION:
            break
        else:
            rate = math.sqrt(low * high)
    return low
