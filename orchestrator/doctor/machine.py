"""CPUs, clocks, memory and what else runs on them: read from /proc and /sys, judged without further I/O."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cputopology import read_text
from orchestrator.doctor.check import Check, Verdict
from orchestrator.hostfacts import HostFacts, choose_cpus
from orchestrator.merge.conditions import load_limit

_PERFORMANCE = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """CPU time counters since boot, in ticks, summed over all CPUs."""

    total: int
    steal: int


def check_cpus(facts: HostFacts) -> tuple[Check, ...]:
    """What the CPUs are and which of them trials would get."""
    usable = len(facts.usable_cpus)
    found = (
        f"{facts.cpu_model}, {facts.cores} cores in {facts.sockets} socket(s), {facts.threads_per_core} thread(s) per "
        f"core, {usable} CPUs usable{', virtual machine' if facts.virtual else ''}"
    )
    checks = [Check(name="cpus", verdict=Verdict.GOOD, found=found)]
    if facts.cpu_quota is not None and facts.cpu_quota < usable:
        todo = "lift the quota (docker run --cpus, Kubernetes limits), or give whole CPUs by cpuset: a quota throttles"
        checks.append(
            Check(name="cpus", verdict=Verdict.WARN, found=f"a quota of {facts.cpu_quota:g} CPUs on {usable}", do=todo)
        )
    if facts.smt:
        chosen = _ranges(choose_cpus(facts, min(usable, max(1, facts.cores // 2))))
        todo = "nothing has to be done: trials get one thread per core and leave the sibling idle"
        checks.append(Check(name="smt", verdict=Verdict.NOTE, found=f"on; half of the cores would be {chosen}", do=todo))
    if len(facts.nodes) > 1:
        nodes = "; ".join(f"node {node}: {_ranges(cpus)}" for node, cpus in facts.nodes.items())
        todo = "nothing has to be done: trials stay in one node where their threads fit"
        checks.append(Check(name="numa", verdict=Verdict.NOTE, found=nodes, do=todo))
    caches = ", ".join(f"L{c.level} {len(c.shared_by)} × {c.size_kb} KiB" for c in facts.caches if c.type != "Instruction")
    checks.append(Check(name="caches", verdict=Verdict.NOTE, found=caches or "the kernel does not show any"))
    return tuple(checks)


def check_clocks(facts: HostFacts) -> tuple[Check, ...]:
    """Governor and turbo: does the clock follow the load or the temperature?"""
    hidden = "not shown here" + (": the hypervisor's host decides" if facts.virtual else "")
    if facts.governor is None:
        governor = Check(name="governor", verdict=Verdict.NOTE, found=hidden)
    elif facts.governor == "performance":
        governor = Check(name="governor", verdict=Verdict.GOOD, found="performance")
    else:
        governor = Check(name="governor", verdict=Verdict.WARN, found=facts.governor, do=_PERFORMANCE)
    if facts.turbo is None:
        turbo = Check(name="turbo", verdict=Verdict.NOTE, found=hidden)
    elif facts.turbo:
        todo = "for the steadiest numbers switch it off (intel_pstate/no_turbo = 1 or cpufreq/boost = 0 below /sys/…/cpu)"
        turbo = Check(name="turbo", verdict=Verdict.NOTE, found="on: clocks depend on temperature and load", do=todo)
    else:
        turbo = Check(name="turbo", verdict=Verdict.GOOD, found="off")
    return governor, turbo


def check_load(facts: HostFacts, root: Path = Path("/")) -> tuple[Check, ...]:
    """Load average and CPU pressure now."""
    parts = read_text(root / "proc/loadavg").split()
    if not parts:
        return (Check(name="load", verdict=Verdict.NOTE, found="the kernel does not show the load"),)
    load, cpus = float(parts[0]), len(facts.usable_cpus)
    pressure = re.search(r"^some avg10=([\d.]+)", read_text(root / "proc/pressure/cpu"), re.MULTILINE)
    waited = f", tasks waited for a CPU {pressure[1]} % of the last 10 s" if pressure else ""
    found = f"{load:g} over the last minute on {cpus} CPUs{waited}"
    if load > 0.25 * cpus or (pressure and float(pressure[1]) > 5):
        todo = ("stop other work on this machine, or wait until it is over (see: top); a trial that begins at a load of more "
                f"than {load_limit(cpus):g} does not count, and less than that still widens intervals")
        return (Check(name="load", verdict=Verdict.WARN, found=found, do=todo),)
    return (Check(name="load", verdict=Verdict.GOOD, found=found),)


def read_moment(root: Path = Path("/")) -> Moment | None:
    """The counters of /proc/stat, None where there are none."""
    for line in read_text(root / "proc/stat").splitlines():
        name, *numbers = line.split()
        if name == "cpu" and len(numbers) >= 8:
            ticks = [int(number) for number in numbers[:8]]  # what follows, guest time, is in user already
            return Moment(total=sum(ticks), steal=ticks[7])
    return None


def check_steal(root: Path = Path("/"), *, seconds: float = 1.0) -> tuple[Check, ...]:
    """Time that a hypervisor gave to others: now and since boot."""
    before = read_moment(root)
    time.sleep(seconds)
    return judge_steal(before, read_moment(root))


def judge_steal(before: Moment | None, after: Moment | None) -> tuple[Check, ...]:
    """The verdict on two moments (pure)."""
    if before is None or after is None:
        return (Check(name="steal", verdict=Verdict.NOTE, found="the kernel does not show it"),)
    now = 100 * (after.steal - before.steal) / max(1, after.total - before.total)
    ever = 100 * after.steal / max(1, after.total)
    found = f"{now:.2f} % now, {ever:.2f} % since boot"
    if now > 1 or ever > 1:
        todo = "other guests take this machine's CPUs: use a dedicated host, or run at another time"
        return (Check(name="steal", verdict=Verdict.WARN, found=found, do=todo),)
    return (Check(name="steal", verdict=Verdict.GOOD, found=found),)


def check_memory(facts: HostFacts, root: Path = Path("/"), *, needed_mb: int) -> tuple[Check, ...]:
    """Is there room for one trial's limit, and does the machine swap?"""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    if facts.memory_mb is None or not match:
        return (Check(name="memory", verdict=Verdict.NOTE, found="the kernel does not show it"),)
    available = int(match[1]) // 1024
    found = f"{available} of {facts.memory_mb} MiB available, swap {facts.swap_mb or 0} MiB"
    if available < needed_mb // 4:
        todo = f"free memory: the default models need up to {needed_mb} MiB"
        return (Check(name="memory", verdict=Verdict.BAD, found=found, do=todo),)
    if available < needed_mb:
        todo = f"free memory or leave out the largest models and batches: the default ones need up to {needed_mb} MiB"
        return (Check(name="memory", verdict=Verdict.WARN, found=found, do=todo),)
    return (Check(name="memory", verdict=Verdict.GOOD, found=found),)


def check_kernel_switches(facts: HostFacts, root: Path = Path("/")) -> tuple[Check, ...]:
    """Huge pages and address randomisation: the same for all backends, hence only noted."""
    aslr = {"0": "off", "1": "on (stack, mmap)", "2": "on"}.get(read_text(root / "proc/sys/kernel/randomize_va_space"))
    found = f"transparent huge pages {facts.thp or 'not shown'}, address randomisation {aslr or 'not shown'}"
    todo = "nothing has to be done: several fresh trials average over layouts"
    return (Check(name="kernel", verdict=Verdict.NOTE, found=found, do=todo),)


def _ranges(cpus: Sequence[int]) -> str:
    """(0, 1, 2, 5) → "0-2,5"."""
    spans: list[list[int]] = []
    for cpu in cpus:
        if spans and spans[-1][1] == cpu - 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
