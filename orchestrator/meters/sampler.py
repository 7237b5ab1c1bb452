"""Reads meters at regular times in a thread of its own, for at most a hundredth of a CPU."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COST_SHARE = 100  # a task that takes t is repeated after 100 t at the earliest, however short its period
Clock = Callable[[], int]


@dataclass(kw_only=True)
class Task:
    """Something to read every `period_ns`; `read` gets the monotonic time in ns."""

    read: Callable[[int], None]
    period_ns: int
    due_ns: int = 0
    cost_ns: int = 0  # of its last reading


class Sampler:
    """Runs tasks when they are due. Nothing runs before `start`; without tasks there is no thread."""

    def __init__(self, tasks: Sequence[Task], *, clock: Clock = time.monotonic_ns) -> None:
        self._tasks = tuple(tasks)
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lock = threading.Lock()  # held while a task reads: who looks at what it wrote takes it too

    def start(self, *, avoid: Sequence[int] = ()) -> None:
        """Begin to sample, on other CPUs than those in `avoid` where this process may use others."""
        if self._tasks and self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(frozenset(avoid),), name="meters", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End it; a call that hangs in a driver is left behind."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def step(self) -> int:
        """Run what is due; returns how long to wait until something else is, in ns."""
        for task in self._tasks:
            begin = self._clock()
            if begin < task.due_ns:
                continue
            with self.lock:
                task.read(begin)
            task.cost_ns = self._clock() - begin
            task.due_ns = begin + max(task.period_ns, COST_SHARE * task.cost_ns)
        return max(0, min(task.due_ns for task in self._tasks) - self._clock())

    def _run(self, avoid: frozenset[int]) -> None:
        with contextlib.suppress(OSError):
            if elsewhere := os.sched_getaffinity(0) - avoid:
                os.sched_setaffinity(0, elsewhere)  # of this thread alone
        while not self._stop.wait(self.step() / 1e9):
            pass
