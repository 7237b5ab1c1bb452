"""The clock beside the timed loop: how fast the trial's CPUs were while a cell was measured, not only before and after.

Whoever shares a core with a virtual CPU slows it, here by 1.6 for some tenths of a second to some seconds at a time: too
short for the probes around a trial, too long for a median within one. So the loop pauses now and then, between two
inferences and outside all figures, and a fixed piece of plain Python is timed: by the measuring thread where it is, and at
the same time by a small process on each CPU of the trial, forked before a framework was imported. Trials are compared with
these readings as covariates (`orchestrator/merge/clocks.py`).
"""

import contextlib
import math
import mmap
import os
import select
import signal
import struct
import time
from typing import Any, Dict, List, Sequence

from probe import die_with_parent

STEPS = 500  # 30 to 60 µs of plain Python
ROUNDS = 2  # of which the better one counts: the first may have been interrupted by what still spins
MAX_CPUS = 8  # more would only be more of the same
LOOK_EVERY_NS = 80_000_000  # 0.3 % of a core; and the first inference after a look may find sleeping threads
ANSWER_LIMIT_S = 0.1
FEWEST = 2  # looks that make a figure
_SLOT = struct.Struct("<d")


class Watch:
    """Looks at the clocks when asked; gives up for good where an answer is late once too often."""

    def __init__(self, cpus: Sequence[int]) -> None:
        """Forks a process per CPU; call before numpy or a framework is imported."""
        self._cpus = list(cpus)[:MAX_CPUS]
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._answers, answers = os.pipe()
        self._wake: List[int] = []
        self._pids: List[int] = []
        self._late = 0
        parent = os.getpid()
        for number, cpu in enumerate(self._cpus):
            asked, wake = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    for other in (*self._wake, wake, self._answers):
                        os.close(other)  # or nobody would ever see the trial's end close
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    die_with_parent(parent)
                    os.sched_setaffinity(0, {cpu})
                    while os.read(asked, 1):
                        _SLOT.pack_into(self._shared, _SLOT.size * number, steps_us())
                        os.write(answers, b"x")
                finally:
                    os._exit(0)
            os.close(asked)
            self._wake.append(wake)
            self._pids.append(pid)
        os.close(answers)
        self.begin()

    def begin(self) -> None:
        """Forget what was seen: another cell begins."""
        self._own: List[float] = []
        self._all: List[List[float]] = []
        self._took_ns = 0

    def look(self) -> int:
        """Take one reading; the ns that it took."""
        began = time.perf_counter_ns()
        if self._late < 3:
            found = self._ask()
            if found:
                self._own.append(steps_us())
                self._all.append(found)
        took = time.perf_counter_ns() - began
        self._took_ns += took
        return took

    def _ask(self) -> List[float]:
        for wake in self._wake:
            os.write(wake, b"?")
        missing = len(self._wake)
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while missing:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            got = len(os.read(self._answers, missing)) if ready else 0
            if not got:
                # a late answer would be taken for the next one's: count on nothing from here on
                self._late = 3
                return []
            missing -= got
        return [_SLOT.unpack_from(self._shared, _SLOT.size * number)[0] for number in range(len(self._wake))]

    def report(self) -> Dict[str, Any]:
        """µs for the fixed piece of work: geometric means over the looks.

        Raises:
            ValueError: there were too few.
        """
        if len(self._own) < FEWEST:
            raise ValueError("{} looks at the clock in the timed loop, {} needed".format(len(self._own), FEWEST))
        cpus = [math.exp(sum(math.log(look[i]) for look in self._all) / len(self._all)) for i in range(len(self._cpus))]
        own = math.exp(sum(map(math.log, self._own)) / len(self._own))
        return {"looks": len(self._own), "own_us": round(own, 3), "cpus_us": [round(value, 3) for value in cpus],
                "took_ms": round(self._took_ns / 1e6, 3)}

    def close(self) -> None:
        """End the processes and wait for them."""
        for wake in self._wake:
            with contextlib.suppress(OSError):
                os.close(wake)
        for pid in self._pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def steps_us() -> float:
    """Microseconds for a fixed number of steps of plain Python, the better of a few rounds."""
    best = None
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        value = 1
        for _ in range(STEPS):
            value = (value * 1103515245 + 12345) & 0x7FFFFFFF
        took = time.perf_counter_ns() - began
        best = took if best is None else min(best, took)
    return max(1, best or 1) / 1e3
