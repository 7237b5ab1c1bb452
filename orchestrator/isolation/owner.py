"""Who made a container, volume or process: enough to tell a live owner from a dead one on the same host.

A pid alone is reused by the kernel; with its start time it is not (harnesses.md §3, "Cleanup").
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

LABEL = "io.infermatrix.owner"
RUN_LABEL = "io.infermatrix.run"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process on a host, since a moment."""

    host: str
    pid: int
    start_ticks: int

    @classmethod
    def this_process(cls) -> Owner:
        """The process that calls."""
        return cls(host=host_identity(), pid=os.getpid(), start_ticks=start_ticks(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner written as `host:pid:start`, or None where the text is not ours."""
        parts = text.rsplit(":", 2)
        if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
            return None
        return cls(host=parts[0], pid=int(parts[1]), start_ticks=int(parts[2]))

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.start_ticks}"

    def is_dead(self) -> bool:
        """True only where that is certain: the owner ran on this host and boot, and is gone."""
        mine = host_identity()
        if self.host.split("/")[0] != mine.split("/")[0]:
            return False
        if self.host != mine:
            return True  # an earlier boot of this very host
        return start_ticks(self.pid) != self.start_ticks


def host_identity() -> str:
    """Host name and boot id: pids mean nothing across either."""
    try:
        boot = BOOT_ID.read_text().strip()[:13]
    except OSError:
        boot = "unknown"
    return f"{socket.gethostname()}/{boot}"


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])
