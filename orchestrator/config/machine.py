"""What the run may use of this machine: its cores and its memory, as seen from this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_MEMORY_SHARE = 0.8  # of the machine's memory: what a trial may take before it is stopped, instead of the machine


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores by number, and the memory (MiB) that one trial may have unless the matrix says otherwise."""

    cpus: tuple[int, ...]
    memory_mb: int


def detect_machine(*, cgroup_root: Path = Path("/sys/fs/cgroup")) -> Machine:
    """Reads affinity, memory and this process's cgroup limits (both versions).

    A CPU quota is honoured by taking that many cores: more threads than the quota would only be throttled.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cpus = tuple(allowed)
    quota = _cpu_quota(cgroup_root)
    if quota is not None:
        cpus = cpus[: max(1, int(quota))]
    total = psutil.virtual_memory().total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _number(cgroup_root / name)
        if limit is not None:
            total = min(total, limit)
    return Machine(cpus=cpus, memory_mb=max(64, int(total * _MEMORY_SHARE) >> 20))


def _cpu_quota(root: Path) -> float | None:
    parts = _text(root / "cpu.max").split()
    if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]) > 0:
        return int(parts[0]) / int(parts[1])
    quota, period = _number(root / "cpu/cpu.cfs_quota_us"), _number(root / "cpu/cpu.cfs_period_us")
    return quota / period if quota is not None and period else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
