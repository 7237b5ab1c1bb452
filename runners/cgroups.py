"""What the process's control group says: memory peak and limit, kills, throttling; versions 1 and 2."""

import os
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

UNLIMITED = 1 << 60  # version 1 says "no limit" with a number near 2^63


class Missing(Exception):
    """A value that cannot be had; the message is the reason that the result gives."""


@dataclass(frozen=True)
class Groups:
    """Where this process's control groups are; None where there is none of that kind."""

    version: Optional[int]
    memory: Optional[str]
    cpu: Optional[str]


def find(cgroup_text: str, mountinfo_text: str) -> Groups:
    """From the text of /proc/self/cgroup and /proc/self/mountinfo (version 1 wins where it has a memory controller)."""
    paths = _paths(cgroup_text)
    mounts = _mounts(mountinfo_text)
    memory, cpu = (_folder(paths, mounts, controller) for controller in ("memory", "cpu"))
    if memory or cpu:
        return Groups(1, memory, cpu)
    unified = _folder(paths, mounts, "")
    return Groups(2 if unified else None, unified, unified)


def _paths(text: str) -> Dict[str, str]:
    """Controller ("" for version 2) → path."""
    found = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                found[controller] = parts[2]
    return found


def _mounts(text: str) -> Dict[str, Tuple[str, str]]:
    """Controller ("" for version 2) → (mount point, the group that is mounted there)."""
    found: Dict[str, Tuple[str, str]] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault("", (fields[4], fields[3]))
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                found.setdefault(option, (fields[4], fields[3]))
    return found


def _folder(paths: Dict[str, str], mounts: Dict[str, Tuple[str, str]], controller: str) -> Optional[str]:
    if controller not in paths or controller not in mounts:
        return None
    point, root = mounts[controller]
    path = paths[controller]
    if root != "/" and (path == root or path.startswith(root.rstrip("/") + "/")):
        path = path[len(root):]
    folder = os.path.join(point, path.lstrip("/")).rstrip("/")
    # Inside a container of version 1 the path is often the host's and only the mount point exists.
    return folder if os.path.isdir(folder) else (point if os.path.isdir(point) else None)


class Cgroup:
    """Reads this process's control group; every method raises `Missing` with a reason where it cannot."""

    def __init__(self, groups: Optional[Groups] = None) -> None:
        self._groups = groups if groups is not None else find(_read("/proc/self/cgroup"), _read("/proc/self/mountinfo"))
        self.version = self._groups.version

    def memory_limit_mb(self) -> float:
        """The limit on memory in MiB."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        text = self._text(self._groups.memory, name)
        if text == "max" or int(text) >= UNLIMITED:
            raise Missing("the control group sets no memory limit")
        return int(text) / 2 ** 20

    def memory_peak_mb(self) -> float:
        """The group's peak since it was made, page cache of files included, in MiB."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        text = self._text(self._groups.memory, name)
        self._own()
        return int(text) / 2 ** 20

    def memory_parts(self) -> Dict[str, float]:
        """What the group holds now, in MiB: `anon` (memory of processes), `file` (page cache, shared memory included),
        `inactive_file` (what of it the kernel would drop first) and `working` (all that is in use, less `inactive_file`,
        which is what container engines show as usage). A peak cannot be told apart in hindsight; this can.
        """
        stat = self._text(self._groups.memory, "memory.stat")
        names = {"anon": ("total_rss", "rss"), "file": ("total_cache", "cache"),
                 "inactive_file": ("total_inactive_file", "inactive_file")}
        if self.version != 1:
            names = {name: (name,) for name in names}
        parts = {name: _any_field(stat, known, "memory.stat") / 2 ** 20 for name, known in names.items()}
        used = self._text(self._groups.memory, "memory.usage_in_bytes" if self.version == 1 else "memory.current")
        self._own()
        return {**parts, "working": max(0.0, int(used) / 2 ** 20 - parts["inactive_file"])}

    def oom_kills(self) -> int:
        """How many processes of the group were killed for memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return _field(self._text(self._groups.memory, name), "oom_kill", name)

    def throttled(self) -> int:
        """How many periods the group was held back in for having used its share of CPU time."""
        return _field(self._text(self._groups.cpu, "cpu.stat"), "nr_throttled", "cpu.stat")

    def throttled_s(self) -> float:
        """For how long it was held back, in seconds, summed over its CPUs."""
        text = self._text(self._groups.cpu, "cpu.stat")
        if self.version == 1:
            return _field(text, "throttled_time", "cpu.stat") / 1e9
        return _field(text, "throttled_usec", "cpu.stat") / 1e6

    def _text(self, folder: Optional[str], name: str) -> str:
        if folder is None:
            raise Missing("no control group is visible")
        try:
            return _read(os.path.join(folder, name), strict=True).strip()
        except OSError as error:
            raise Missing("{} cannot be read: {}".format(name, error.strerror)) from None

    def _own(self) -> None:
        """Another's memory must not be booked to this trial: without a container the group is the whole session's."""
        others = {int(pid) for pid in self._text(self._groups.memory, "cgroup.procs").split()} - _family()
        if others:
            raise Missing("the control group is shared with {} processes that are not the trial's".format(len(others)))


def _family() -> set:
    """This process, what descends from it, and the container's init if that is its parent."""
    family: set = {os.getpid()}
    if os.getppid() == 1:
        family.add(1)
    todo: List[int] = [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            tasks = os.listdir("/proc/{}/task".format(pid))
        except OSError:
            continue
        for task in tasks:
            children = {int(child) for child in _read("/proc/{}/task/{}/children".format(pid, task)).split()}
            todo += list(children - family)
            family |= children
    return family


def _field(text: str, name: str, file: str) -> int:
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and parts[0] == name:
            return int(parts[1])
    raise Missing("{} has no {}".format(file, name))


def _any_field(text: str, names: Tuple[str, ...], file: str) -> int:
    """The first of `names` that is there: version 1 shows sums over child groups as `total_…`, if at all."""
    present = {line.split(" ", 1)[0] for line in text.splitlines()}
    return _field(text, next((name for name in names if name in present), names[-1]), file)


def _read(path: str, strict: bool = False) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        if strict:
            raise
        return ""
