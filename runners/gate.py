"""What stands between a cell's warm-up and its timed loop: nothing, or a rendezvous with other processes.

Instances that share a machine are measured together or not at all: each waits, warmed up, until all are; they begin at
one moment of the shared clock, and none stops while another still lacks time or iterations, so that none measures a part
of its loop on a machine that the others have already left.
"""

import json
import mmap
import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Dict, List

from failures import Terminated
from job import GateJob
from measure import Limits, Loop

GO = b"go"
LEAD_NS = 3_000_000  # between the word and the common start: longer than the word takes to reach the last one
ENOUGH, STOP = 1, 2  # a process's byte: it has what it needs; it must end, whatever the others lack


class Alone:
    """A cell that waits for nobody."""

    def start(self, limits: Limits) -> Limits:
        """Called warmed up, right before the loop; returns the limits that the loop shall have."""
        return limits

    def ended(self, cell: Dict[str, Any], loop: Loop) -> None:
        """Called right after the loop; may add to the cell's result."""


ALONE = Alone()


@dataclass(frozen=True)
class Shared(Limits):
    """Ends when every process has enough, or one must stop."""

    flags: mmap.mmap
    number: int
    count: int

    def over(self, done: int, spent_ns: int) -> bool:
        """The same answer for all, give or take one chunk."""
        if done >= self.max_iterations or spent_ns >= self.max_ns:
            self.flags[self.number] = STOP
        elif spent_ns >= self.min_ns and done >= self.min_iterations and self.flags[self.number] != STOP:
            self.flags[self.number] = ENOUGH
        said = self.flags[:self.count]
        return STOP in said or said.count(ENOUGH) == self.count


class Together(Alone):
    """One of several processes, each in a trial of its own."""

    def __init__(self, job: GateJob) -> None:
        self._job = job
        self._channel = socket.socket(fileno=job.channel)
        assert job.flags is not None
        self._flags = mmap.mmap(job.flags, max(1, job.count))

    def start(self, limits: Limits) -> Limits:
        """Tell that this process is ready and where it runs, wait for the word, then for the moment that it names.

        Raises:
            Terminated: whoever started it is gone.
        """
        self._channel.sendall(json.dumps({"affinity": affinity()}).encode() + b"\n")
        word = self._channel.recv(256)
        if not word.startswith(GO):
            raise Terminated
        begin = int(word.split()[1])
        while time.perf_counter_ns() < begin:
            pass
        return Shared(limits.min_ns, limits.min_iterations, limits.max_iterations, limits.max_ns,
                      self._flags, self._job.number, self._job.count)

    def ended(self, cell: Dict[str, Any], loop: Loop) -> None:
        """When the loop began and ended, so that the processes' windows can be laid over each other."""
        cell["window"] = {"begin_ns": loop.begin_ns, "end_ns": loop.begin_ns + loop.wall_ns}


def affinity() -> List[int]:
    """The CPUs that any thread of this process may use."""
    found = set(os.sched_getaffinity(0))
    for task in os.listdir("/proc/self/task"):
        try:
            found |= os.sched_getaffinity(int(task))
        except OSError:
            continue  # it ended in between
    return sorted(found)
