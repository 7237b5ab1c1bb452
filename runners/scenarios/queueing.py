"""Whether a server keeps up: how many requests it owes over the time of a run, and whether that grows. Pure.

A short run can meet a latency percentile at a rate above the server's capacity, because its queue has not grown long
enough yet. So a rate holds only if the queue does not grow either.
"""

from dataclasses import dataclass

import numpy as np

WINDOWS = 10
LOOKS = 50  # per window
ORDERED = 0.5  # Kendall's tau of the windows: about 1 in 40 for windows in random order


@dataclass(frozen=True)
class Queue:
    """Requests that were due and not answered yet."""

    mean: float
    largest: int
    growth_per_s: float  # least squares over the windows
    grows: bool


def queue_of(due_ns: np.ndarray, latency_ns: np.ndarray, batch: int) -> Queue:
    """The queue over the time in which requests came; both arrays are (requests,), in the order due.

    The first window is left out: the server starts idle. The queue grows where the windows are in rising order, the line
    through them rises by at least one batch over the run, and by more than the queue's own mean.
    """
    due = due_ns - due_ns[0]
    done = np.sort(due + latency_ns)
    length = max(1, int(due[-1]))
    looks = (np.arange(WINDOWS * LOOKS) + 0.5) * length / (WINDOWS * LOOKS)
    owed = np.searchsorted(due, looks, side="right") - np.searchsorted(done, looks, side="right")
    windows = owed.reshape(WINDOWS, LOOKS).mean(axis=1)[1:]
    seconds = length / 1e9
    times = (np.arange(1, WINDOWS) + 0.5) * seconds / WINDOWS
    away = times - times.mean()
    slope = float((away * windows).sum() / (away ** 2).sum())
    grown, mean = slope * seconds, float(owed.mean())
    grows = grown >= max(2, batch) and grown > mean and _tau(windows) >= ORDERED
    # The most at any time, which a look may miss: just after a request came due.
    largest = int((np.arange(1, len(due) + 1) - np.searchsorted(done, due, side="right")).max())
    return Queue(mean=mean, largest=largest, growth_per_s=slope, grows=bool(grows))


def _tau(values: np.ndarray) -> float:
    signs = np.sign(values[None, :] - values[:, None])
    count = len(values) * (len(values) - 1) / 2
    return float(np.triu(signs, 1).sum() / count)
