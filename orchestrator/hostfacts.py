"""What this machine is: read from /proc, /sys and NVML once, then only passed on as a frozen value."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.counting import several
from orchestrator.cputopology import (
    CPU_FOLDER,
    Cache,
    LogicalCpu,
    parse_cpulist,
    read_field,
    read_number,
    read_text,
    read_topology,
)
from orchestrator.errors import ConfigError
from orchestrator.gpus import Gpu, read_gpus
from orchestrator.model import digest

_DMI = Path("sys/class/dmi/id")
_VM_VENDORS = ("qemu", "kvm", "vmware", "innotek", "xen", "parallels", "bochs", "google", "amazon ec2", "openstack")
_ARM_PARTS = {
    ("0x41", "0xd08"): "Cortex-A72", ("0x41", "0xd0b"): "Cortex-A76", ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1", ("0x41", "0xd49"): "Neoverse-N2", ("0x41", "0xd4f"): "Neoverse-V2",
    ("0xc0", "0xac3"): "Ampere-1",
}


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """A machine; what could not be read is None and `null_reasons` says why."""

    name: str
    machine: str  # x86_64, aarch64 …
    cpu_model: str
    sockets: int
    cores: int  # physical, online
    threads_per_core: int  # largest number of online CPUs on one core
    cpus: tuple[LogicalCpu, ...]  # online
    usable_cpus: tuple[int, ...]  # this process's affinity within its cgroup's cpuset
    cpu_quota: float | None  # CPUs' worth of time the cgroup allows; None: no limit
    nodes: Mapping[int, tuple[int, ...]]
    caches: tuple[Cache, ...]
    memory_mb: int | None
    swap_mb: int | None
    kernel: str
    os: str
    virtual: bool | None
    governor: str | None
    turbo: bool | None
    microcode: str | None
    thp: str | None
    gpus: tuple[Gpu, ...] = ()
    gpus_reason: str | None = None  # why `gpus` is empty
    null_reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def smt(self) -> bool:
        """True where two online CPUs share a physical core."""
        return self.threads_per_core > 1

    @property
    def fingerprint(self) -> str:
        """12 hex digits of what a number depends on and a reboot does not change.

        Without the host's name (equal machines are equal), the GPUs (a record names its device by UUID) and
        states such as governor or turbo (the records carry them).
        """
        return digest({
            "machine": self.machine, "cpu": self.cpu_model, "sockets": self.sockets, "cores": self.cores,
            "cpus": len(self.cpus), "nodes": len(self.nodes), "virtual": self.virtual,
            "caches": [[c.level, c.type, c.size_kb, len(c.shared_by)] for c in self.caches],
            "memory": _memory_class(self.memory_mb), "kernel": ".".join(self.kernel.split(".")[:2]),
        })[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with the fingerprint in it."""
        plain = asdict(self)
        plain["nodes"] = {str(node): list(cpus) for node, cpus in self.nodes.items()}
        return {"fingerprint": self.fingerprint, "smt": self.smt, **plain}


def read_host(root: Path = Path("/")) -> HostFacts:
    """The machine below `root`; a missing file gives None with a reason, never an error."""
    info = read_text(root / "proc/cpuinfo")
    topology = read_topology(root, info=info)
    online = {cpu.id for cpu in topology.cpus}
    siblings = Counter(cpu.core for cpu in topology.cpus)
    memory = _meminfo(root)
    gpus, gpus_reason = read_gpus() if root == Path("/") else ((), "NVML answers only for the running machine")
    facts = HostFacts(
        name=read_text(root / "proc/sys/kernel/hostname") or "unknown",
        machine=_machine(root, info),
        cpu_model=_cpu_model(info),
        sockets=len({cpu.package for cpu in topology.cpus}),
        cores=len(siblings),
        threads_per_core=max(siblings.values()),
        cpus=topology.cpus,
        usable_cpus=tuple(sorted(_allowed(root) & online)) or tuple(sorted(online)),
        cpu_quota=_quota(root),
        nodes=topology.nodes,
        caches=topology.caches,
        memory_mb=memory.get("MemTotal"),
        swap_mb=memory.get("SwapTotal"),
        kernel=read_text(root / "proc/sys/kernel/osrelease") or "unknown",
        os=_os_name(root),
        virtual=_virtual(root, info),
        governor=read_text(root / CPU_FOLDER / f"cpu{min(online)}/cpufreq/scaling_governor") or None,
        turbo=_turbo(root),
        microcode=read_field(info, "microcode"),
        thp=_chosen(read_text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        gpus=gpus,
        gpus_reason=gpus_reason,
    )
    optional = ("memory_mb", "swap_mb", "virtual", "governor", "turbo", "microcode", "thp")
    missing = {name: "the kernel does not show it here" for name in optional if getattr(facts, name) is None}
    return replace(facts, null_reasons=missing)


def choose_cpus(facts: HostFacts, threads: int) -> tuple[int, ...]:
    """`threads` CPUs that disturb each other least: one per physical core, in one last-level cache, else in one
    NUMA node; the core of CPU 0, where interrupts land by default, only when no other is spare.

    SMT siblings are used only where there are fewer physical cores than threads (after BenchExec's rule,
    Beyer et al., "Reliable benchmarking", STTT 2019). Raises ConfigError where too few CPUs may be used.
    """
    usable = [cpu for cpu in facts.cpus if cpu.id in facts.usable_cpus]
    if not 1 <= threads <= len(usable):
        raise ConfigError(
            f"{several(threads, 'thread')} asked, but this process may use {several(len(usable), 'CPU')} of {facts.name}",
            hint=f"ask for 1 to {len(usable)} threads, or widen the affinity (taskset, cpuset) of this process",
        )
    cores: dict[int, list[LogicalCpu]] = defaultdict(list)
    for cpu in usable:
        cores[cpu.core].append(cpu)
    first = [min(siblings, key=lambda cpu: cpu.id) for siblings in cores.values()]
    if len(first) < threads:
        by_turn = sorted(usable, key=lambda cpu: (cores[cpu.core].index(cpu), cpu.id))
        return tuple(sorted(cpu.id for cpu in by_turn[:threads]))
    for candidates in ([cpu for cpu in first if cpu.big], first):
        for pools in (_grouped(candidates, "llc"), _grouped(candidates, "node"), [candidates]):
            fitting = [pool for pool in pools if len(pool) >= threads]
            if fitting:
                return _from_pool(min(fitting, key=lambda pool: _pool_rank(pool, threads)), threads)
    raise AssertionError("the pool of all physical cores fits by construction")


def _grouped(cpus: Sequence[LogicalCpu], by: str) -> list[list[LogicalCpu]]:
    groups: dict[int, list[LogicalCpu]] = defaultdict(list)
    for cpu in cpus:
        groups[getattr(cpu, by)].append(cpu)
    return list(groups.values())


def _pool_rank(pool: Sequence[LogicalCpu], threads: int) -> tuple[bool, int]:
    spare = [cpu for cpu in pool if cpu.core != 0]
    return len(spare) < threads, min(cpu.id for cpu in pool)


def _from_pool(pool: Sequence[LogicalCpu], threads: int) -> tuple[int, ...]:
    # Core 0's node, cache and core come last at each level: whole caches fill up before another one is opened.
    nodes0 = {cpu.node for cpu in pool if cpu.core == 0}
    llcs0 = {cpu.llc for cpu in pool if cpu.core == 0}
    ranked = sorted(pool, key=lambda c: (c.node in nodes0, c.node, c.llc in llcs0, c.llc, c.core == 0, c.id))
    return tuple(sorted(cpu.id for cpu in ranked[:threads]))


def _chosen(text: str) -> str | None:
    match = re.search(r"\[(\w+)\]", text)
    return match[1] if match else None


def _machine(root: Path, info: str) -> str:
    known = read_text(root / "proc/sys/kernel/arch")  # since Linux 6.1
    return known or ("aarch64" if "CPU implementer" in info else "x86_64" if "vendor_id" in info else "unknown")


def _cpu_model(info: str) -> str:
    implementer, part = read_field(info, "CPU implementer"), read_field(info, "CPU part")
    if implementer and part:
        return _ARM_PARTS.get((implementer, part), f"ARM implementer {implementer} part {part}")
    return read_field(info, "model name") or read_field(info, "cpu model") or read_field(info, "cpu") or "unknown"


def _allowed(root: Path) -> set[int]:
    listed = read_field(read_text(root / "proc/self/status"), "Cpus_allowed_list")
    return set(parse_cpulist(listed or ""))


def _cgroup_dirs(root: Path, controller: str) -> list[Path]:
    """Where the limits of this process may lie: its own cgroup, then the root that a container sees."""
    dirs = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        mounts = {"": (".", "unified")}.get(controllers, (controllers, controller))
        if controllers == "" or controller in controllers.split(","):
            dirs += [root / "sys/fs/cgroup" / mount / part for mount in mounts for part in (path.strip("/"), ".")]
    return dirs


def _quota(root: Path) -> float | None:
    for folder in _cgroup_dirs(root, "cpu"):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            return int(quota) / int(period)
    return None


def _meminfo(root: Path) -> dict[str, int]:
    lines = re.findall(r"^(\w+):\s+(\d+) kB$", read_text(root / "proc/meminfo"), re.MULTILINE)
    return {name: int(kb) // 1024 for name, kb in lines}


def _memory_class(memory_mb: int | None) -> int | None:
    # Quarter octaves: what a kernel reserves moves MemTotal by less than the distance of any usual size to a boundary.
    return round(4 * math.log2(memory_mb)) if memory_mb else None


def _os_name(root: Path) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(root / "etc/os-release"), re.MULTILINE)
    return match[1] if match else "unknown"


def _virtual(root: Path, info: str) -> bool | None:
    flags = read_field(info, "flags")
    if flags is not None:
        return "hypervisor" in flags.split()
    vendor, product = read_text(root / _DMI / "sys_vendor").lower(), read_text(root / _DMI / "product_name").lower()
    if not vendor:
        return True if (root / "proc/device-tree/hypervisor").exists() else None
    return vendor.startswith(_VM_VENDORS) and not product.endswith(".metal")


def _turbo(root: Path) -> bool | None:
    no_turbo = read_number(root / CPU_FOLDER / "intel_pstate/no_turbo")
    boost = read_number(root / CPU_FOLDER / "cpufreq/boost")
    if no_turbo is not None:
        return no_turbo == 0
    return None if boost is None else boost != 0
