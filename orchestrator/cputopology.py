"""Which CPUs there are and what they share: parsers over /proc and /sys below any root."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CPU_FOLDER = Path("sys/devices/system/cpu")


@dataclass(frozen=True, kw_only=True)
class LogicalCpu:
    """One CPU as the kernel schedules it, and what it shares with others."""

    id: int
    package: int
    core: int  # lowest CPU number of its physical core
    node: int
    llc: int  # lowest CPU number that shares its last-level cache
    big: bool = True  # False: an efficiency core beside faster ones


@dataclass(frozen=True, kw_only=True)
class Cache:
    """One kind of cache: its size and the groups of CPUs that share an instance."""

    level: int
    type: str  # Data | Instruction | Unified
    size_kb: int
    shared_by: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """All online CPUs, their caches and their NUMA nodes."""

    cpus: tuple[LogicalCpu, ...]
    caches: tuple[Cache, ...]
    nodes: Mapping[int, tuple[int, ...]]


def read_topology(root: Path, *, info: str) -> Topology:
    """The topology below `root`; `info` is the text of /proc/cpuinfo, used where /sys shows nothing."""
    nodes = _nodes(root)
    caches, llc = _caches(root)
    cpus = _cpus(root, info=info, nodes=nodes, llc=llc)
    return Topology(cpus=cpus, caches=caches, nodes=nodes or {0: tuple(cpu.id for cpu in cpus)})


def parse_cpulist(text: str) -> tuple[int, ...]:
    """The kernel's list format, "0-3,8,10-11" → (0, 1, 2, 3, 8, 10, 11); what is not one gives ()."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match:
            cpus.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(cpus))


def read_text(path: Path) -> str:
    """The stripped text of a file, "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """The integer a file holds, or None."""
    text = read_text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def read_field(text: str, name: str) -> str | None:
    """The value of the first line "name : value", or None."""
    match = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(\S.*)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _nodes(root: Path) -> dict[int, tuple[int, ...]]:
    folders = (root / "sys/devices/system/node").glob("node[0-9]*")
    found = {int(folder.name[4:]): parse_cpulist(read_text(folder / "cpulist")) for folder in folders}
    return {node: cpus for node, cpus in sorted(found.items()) if cpus}


def _caches(root: Path) -> tuple[tuple[Cache, ...], dict[int, int]]:
    """All kinds of caches, and per CPU the lowest CPU that shares its largest-level one."""
    shared: dict[tuple[int, str, int], set[tuple[int, ...]]] = defaultdict(set)
    for index in (root / CPU_FOLDER).glob("cpu[0-9]*/cache/index*"):
        level, size = read_number(index / "level"), re.match(r"(\d+)([KM]?)", read_text(index / "size"))
        if level is not None and size:
            kb = int(size[1]) * (1024 if size[2] == "M" else 1)
            shared[(level, read_text(index / "type"), kb)].add(parse_cpulist(read_text(index / "shared_cpu_list")))
    caches = tuple(
        Cache(level=level, type=kind, size_kb=kb, shared_by=tuple(sorted(groups)))
        for (level, kind, kb), groups in sorted(shared.items())
    )
    last = {cpu: min(group) for cache in caches for group in cache.shared_by for cpu in group if cache.level > 1}
    return caches, last


def _cpus(
    root: Path, *, info: str, nodes: Mapping[int, Sequence[int]], llc: Mapping[int, int]
) -> tuple[LogicalCpu, ...]:
    in_info = tuple(int(number) for number in re.findall(r"^processor\s*:\s*(\d+)", info, re.MULTILINE))
    online = parse_cpulist(read_text(root / CPU_FOLDER / "online")) or in_info or (0,)
    node_of = {cpu: node for node, cpus in nodes.items() for cpu in cpus}
    capacity = {cpu: read_number(root / CPU_FOLDER / f"cpu{cpu}/cpu_capacity") or 1024 for cpu in online}
    slow = parse_cpulist(read_text(root / "sys/devices/cpu_atom/cpus"))
    found = []
    for cpu in online:
        topology = root / CPU_FOLDER / f"cpu{cpu}/topology"
        siblings = parse_cpulist(read_text(topology / "thread_siblings_list")) or (cpu,)
        node = node_of.get(cpu, 0)
        found.append(
            LogicalCpu(
                id=cpu,
                package=max(read_number(topology / "physical_package_id") or 0, 0),  # -1 where the firmware is silent
                core=min(siblings),
                node=node,
                llc=llc.get(cpu, -1 - node),
                # favoured cores of one kind differ by a few per cent, efficiency cores by far more
                big=cpu not in slow and capacity[cpu] >= 0.8 * max(capacity.values()),
            )
        )
    return tuple(found)
