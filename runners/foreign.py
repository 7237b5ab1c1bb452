"""The work of others on the trial's CPUs while it ran: what the kernel counted there, less what the trial itself used."""

import os
from typing import Dict, Optional, Sequence, Tuple

_BUSY = (1, 2, 3, 6, 7)  # user, nice, system, irq, softirq of a line of /proc/stat; steal is told apart elsewhere


class Foreign:
    """Counts from its creation to `ticks()`; create it before the trial's first work."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = frozenset("cpu{}".format(cpu) for cpu in cpus)
        self._busy, self._own = self._look(), own_ticks()

    def ticks(self) -> Optional[int]:
        """Clock ticks (usually 10 ms), at least 0; None where the kernel does not show them."""
        busy, own = self._look(), own_ticks()
        if busy is None or self._busy is None or own is None or self._own is None:
            return None
        return max(0, busy - self._busy - (own - self._own))

    def _look(self) -> Optional[int]:
        try:
            with open("/proc/stat") as file:
                return busy_ticks(file.read(), self._cpus)
        except (OSError, ValueError, IndexError):
            return None


def busy_ticks(text: str, cpus: frozenset) -> int:
    """Of those CPUs, out of the text of /proc/stat."""
    lines = [line.split() for line in text.splitlines()]
    found = [line for line in lines if line and line[0] in cpus]
    if len(found) != len(cpus):
        raise ValueError("not every CPU has a line")
    return sum(int(line[field]) for line in found for field in _BUSY)


def own_ticks() -> Optional[int]:
    """CPU time of this process and all its descendants, those that ended and were waited for too."""
    known = {}
    try:
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/{}/stat".format(name)) as file:
                        known[int(name)] = parent_and_ticks(file.read())
                except (OSError, ValueError, IndexError):
                    continue  # it ended in between
    except OSError:
        return None
    return family_ticks(known, os.getpid())


def parent_and_ticks(text: str) -> Tuple[int, int]:
    """Parent, and CPU time with that of children waited for, out of a stat line; the name may hold spaces and brackets."""
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), sum(int(fields[field]) for field in (11, 12, 13, 14))


def family_ticks(known: Dict[int, Tuple[int, int]], ancestor: int) -> Optional[int]:
    """The sum over a process and its descendants; None where it is not among them."""
    if ancestor not in known:
        return None
    children: Dict[int, list] = {}
    for process, (parent, _) in known.items():
        children.setdefault(parent, []).append(process)
    total, waiting = 0, [ancestor]
    while waiting:
        process = waiting.pop()
        total += known[process][1]
        waiting += children.get(process, [])
    return total
