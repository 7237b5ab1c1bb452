"""Which limits and counters a trial can have here: cgroup version, memory peak, swap, cpuset."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.engine import EngineAnswer
from orchestrator.hostfacts import HostFacts

_MISSING = {
    "memory": (Verdict.WARN, "a trial's memory cannot be limited: enable the memory controller (cgroup_enable=memory)"),
    "swap": (Verdict.NOTE, "swap cannot be limited: boot with swapaccount=1, or switch swap off"),
    "cpuset": (Verdict.WARN, "trials cannot be pinned by cpuset: delegate the cpuset controller to the engine"),
    "pids": (Verdict.NOTE, "the number of processes cannot be limited: enable the pids controller"),
}


def check_limits(answer: EngineAnswer, facts: HostFacts, root: Path = Path("/")) -> tuple[Check, ...]:
    """One line for the memory peak, one for each limit that cannot be enforced."""
    if not answer.available:
        version = _host_cgroup(root)
        return (
            Check(
                name="cgroups",
                verdict=Verdict.NOTE,
                found=f"{version}; without an engine trials are pinned by affinity, and no limit on memory is enforced",
                do="start an engine for enforced limits and the cgroup's memory peak",
            ),
        )
    checks = [_memory_peak(answer, facts)]
    for name, (verdict, todo) in _MISSING.items():
        if answer.limits.get(name) is False:
            checks.append(Check(name="cgroups", verdict=verdict, found=f"no {name} limit on this engine", do=todo))
    return tuple(checks)


def _memory_peak(answer: EngineAnswer, facts: HostFacts) -> Check:
    found = f"cgroup v{answer.cgroup_version or '?'}, driver {answer.cgroup_driver or 'unknown'}"
    kernel = answer.kernel or facts.kernel
    if answer.cgroup_version == 1:
        return Check(name="cgroups", verdict=Verdict.GOOD, found=f"{found}: memory peak from max_usage_in_bytes")
    if _kernel(kernel) >= (5, 19):
        return Check(name="cgroups", verdict=Verdict.GOOD, found=f"{found}: memory peak from memory.peak")
    return Check(
        name="cgroups",
        verdict=Verdict.NOTE,
        found=f"{found}: kernel {kernel} has no memory.peak, so memory_cgroup_peak_mb stays null",
        do="nothing has to be done (the process peak is measured); Linux 5.19 or newer shows it",
    )


def _kernel(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _host_cgroup(root: Path) -> str:
    folder = root / "sys/fs/cgroup"
    if (folder / "cgroup.controllers").exists():
        return "cgroup v2"
    return "cgroup v1" if (folder / "memory").exists() else "no cgroups to be seen"
