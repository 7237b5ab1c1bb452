"""Which processes of this machine belong to a trial: NVML names processes by the host's numbers, a container by its own."""

from __future__ import annotations

import contextlib
from pathlib import Path


def family(pid: int, root: Path = Path("/")) -> frozenset[int]:
    """A process and all that descends from it now; empty once it is gone.

    From the `children` files, not by looking through all processes: this runs many times a second beside a measurement.
    """
    proc = root / "proc"
    found: set[int] = set()
    todo = [pid]
    while todo:
        current = todo.pop()
        with contextlib.suppress(OSError, ValueError):
            for task in (proc / str(current) / "task").iterdir():
                found.add(current)
                todo += [child for child in map(int, (task / "children").read_text().split()) if child not in found]
    return frozenset(found)


def is_of_container(pid: int, container: str, root: Path = Path("/")) -> bool:
    """Whether the process of that number here is the container's.

    An engine's numbers are those of its own host: where this program runs in a container itself, or the engine on another
    machine, the same number is somebody else here. The control group's path names the container in both cgroup versions.
    """
    with contextlib.suppress(OSError):
        return container in (root / "proc" / str(pid) / "cgroup").read_text()
    return False
