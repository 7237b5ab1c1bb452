"""Which threads of this process compute, by the kernel's account of each: what a backend cannot, or need not, say of itself."""
from __future__ import annotations

import os
import time
from typing import Callable, Dict, List

TASKS = "/proc/self/task"
SHARE = 0.1  # of what the busiest one computed: below, a thread only wakes up now and then


def busy_threads(run: Callable[[], object], least_s: float = 0.3) -> List[float]:
    """Calls `run` again and again for `least_s` seconds, once at least; of each thread that computes, its part of that time.

    The busiest first; threads that did less than a tenth of what the busiest did are left out. One that ended meanwhile is not
    seen, one that spins while it waits is.
    """
    before, began = _seconds(), time.monotonic()
    while True:
        run()
        took = time.monotonic() - began
        if took >= least_s:
            break
    spent = [now - before.get(thread, 0.0) for thread, now in _seconds().items()]
    most = max(spent)
    return [round(one / took, 3) for one in sorted(spent, reverse=True) if most > 0 and one >= SHARE * most]


def thread_count() -> int:
    """Threads of this process, now."""
    return len(os.listdir(TASKS))


def _seconds() -> Dict[str, float]:
    """Processor time of each thread: in nanoseconds where this kernel keeps them (schedstat), else in its ticks (stat)."""
    found = {}
    for thread in os.listdir(TASKS):
        try:
            found[thread] = _precisely(thread)
        except FileNotFoundError:  # it ended meanwhile
            continue
    return found


def _precisely(thread: str) -> float:
    schedstat = os.path.join(TASKS, thread, "schedstat")
    if os.path.exists(schedstat):
        with open(schedstat, encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    with open(os.path.join(TASKS, thread, "stat"), encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()  # the name before it may hold anything
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
