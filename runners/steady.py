"""When a process that has just started is as fast as it will be: a definition, and the figures that it gives."""

from typing import NamedTuple, Optional, Sequence

import numpy as np

TOLERANCE = 0.05  # of the final median
WINDOWS = 40  # that a whole trace is cut into
LEAST = 3  # inferences in a window
IN_A_ROW = 3  # windows: one alone may be fast by chance
NEEDED = 2 * IN_A_ROW * LEAST  # inferences without which nothing can be said


class Steady(NamedTuple):
    """Where a trace became steady."""

    index: Optional[int]  # of the first steady inference; 0 is the first answer itself
    final_ns: float  # the level: median of the trace's second half
    reason: str  # why `index` is None


def steady_from(samples: Sequence[int]) -> Steady:
    """The first inference of the first window from which on three in a row are within 5 % of the final level.

    `samples`: ns of every inference from the process's first answer on. Windows lie end to end and hold three inferences or
    a fortieth of the trace; a window's value is its median, which one disturbed inference does not move. The final level
    is the median of the second half, and there is none (no steady state) where that half's own two halves differ by
    more than 5 %. Windows over the iterations of one process are Georges et al.'s (2007, "Statistically rigorous Java
    performance evaluation", section 4); that the level must be held to the end, and that a process may never get there,
    Barrett et al.'s (2017, "Virtual machine warmup blows hot and cold").
    """
    trace = np.asarray(samples, dtype=np.float64)
    count = len(trace)
    final = float(np.median(trace[count // 2:])) if count else 0.0
    if count < NEEDED:
        return Steady(None, final, "{} inferences; {} are needed to see a steady state".format(count, NEEDED))
    third, fourth = np.array_split(trace[count // 2:], 2)
    if not _near(float(np.median(third)), float(np.median(fourth))):
        return Steady(None, final, "no steady state: the last quarter of {} inferences was still more than {:.0%} off the one "
                                   "before".format(count, TOLERANCE))
    size = max(LEAST, count // WINDOWS)
    starts = range(0, count - size + 1, size)
    near = [_near(float(np.median(trace[start:start + size])), final) for start in starts]
    for number in range(len(near) - IN_A_ROW + 1):
        if all(near[number:number + IN_A_ROW]):
            return Steady(_first_within(trace, starts[number], size, final), final, "")
    return Steady(None, final, "no steady state: no {} windows in a row within {:.0%} of the final median".format(
        IN_A_ROW, TOLERANCE))


def _first_within(trace: np.ndarray, start: int, size: int, final: float) -> int:
    """The very inference: past those at the window's beginning that are off the level, or back to the first that is on it."""
    index = start
    while index < start + size - 1 and not _near(float(trace[index]), final):
        index += 1
    while index > 0 and _near(float(trace[index - 1]), final):
        index -= 1
    return index


def _near(value: float, final: float) -> bool:
    return abs(value - final) <= TOLERANCE * final
