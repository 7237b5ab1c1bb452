"""What the process and its machine used: CPU time, threads, switches, memory; all read outside the timed loop."""

import os
import resource
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

from cgroups import Cgroup, Missing
from foreign import Foreign

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_REPORTED = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "TBB_", "NUMEXPR_", "GOTO_")


@dataclass
class Reasons:
    """Why values are null: path → sentence, as the result holds it."""

    items: Dict[str, str] = field(default_factory=dict)

    def get(self, path: str, read: Callable[[], Any]) -> Any:
        """`read()`, or None with the reason noted under `path`."""
        try:
            return read()
        except Missing as error:
            self.items[path] = str(error)
        except (OSError, ValueError, IndexError) as error:
            self.items[path] = "it cannot be read: {}".format(error)
        return None


def set_thread_variables(threads: int) -> None:
    """Every library that asks its environment gets the cell's thread count; must precede the first import of one."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)


def thread_variables() -> Dict[str, str]:
    """The environment variables that steer threading, as they are."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_REPORTED)}


def status_field(text: str, name: str) -> int:
    """A number out of the text of /proc/self/status (kB values: without the unit)."""
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise Missing("/proc/self/status has no {}".format(name))


def resident_mb() -> float:
    """Memory of this process that is in RAM now, in MiB."""
    return status_field(_read("/proc/self/status"), "VmRSS") / 1024


class PeakMeter:
    """The highest resident memory since `reset`."""

    def __init__(self) -> None:
        self.reset_refused: Optional[str] = "the peak was never reset"

    def reset(self) -> None:
        """Ask the kernel to forget the peak; where it refuses, the peak is that of the process's whole life."""
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            self.reset_refused = None
        except OSError as error:
            self.reset_refused = "the kernel does not let the peak be reset ({}): it may date from before this cell".format(
                error.strerror)

    @staticmethod
    def peak_mb() -> float:
        """In MiB; VmHWM, or the resource usage's maximum where that is not shown."""
        try:
            return status_field(_read("/proc/self/status"), "VmHWM") / 1024
        except (OSError, Missing):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True)
class Usage:
    """Counters of this process at one moment."""

    cpu_ns: int
    voluntary: int  # context switches: it waited for something
    involuntary: int  # context switches: its CPU was taken from it
    threads: Optional[int]
    ticks: Dict[str, int]  # task id → CPU time of that thread, in clock ticks
    throttled: Optional[int]
    throttled_s: Optional[float]

    @staticmethod
    def now(cgroup: Cgroup) -> "Usage":
        """Read all of them; takes some 100 microseconds, which count towards the CPU time of what follows."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        reasons = Reasons()
        return Usage(
            cpu_ns=time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID), voluntary=used.ru_nvcsw,
            involuntary=used.ru_nivcsw,
            threads=reasons.get("", lambda: status_field(_read("/proc/self/status"), "Threads")), ticks=task_ticks(),
            throttled=reasons.get("", cgroup.throttled), throttled_s=reasons.get("", cgroup.throttled_s),
        )


def task_ticks() -> Dict[str, int]:
    """CPU time of each thread in clock ticks (usually 10 ms)."""
    found = {}
    try:
        tasks: List[str] = os.listdir("/proc/self/task")
    except OSError:
        tasks = []
    for task in tasks:
        try:
            found[task] = stat_ticks(_read("/proc/self/task/{}/stat".format(task)))
        except (OSError, ValueError, IndexError):
            continue  # it ended in between
    return found


def stat_ticks(text: str) -> int:
    """User and system time out of a stat line; the command's name may hold spaces and brackets."""
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[11]) + int(fields[12])


def used(before: Usage, after: Usage, reasons: Reasons) -> Dict[str, Any]:
    """A cell's counters between two moments."""
    def threads() -> int:
        if before.threads is None or after.threads is None:
            raise Missing("/proc/self/status shows no threads")
        return max(before.threads, after.threads)

    def since(first: Optional[float], last: Optional[float]) -> float:
        if first is None or last is None:
            raise Missing("no control group that shows throttling is visible")
        return max(0, last - first)

    def active() -> int:
        if not after.ticks:
            raise Missing("/proc/self/task cannot be read")
        return sum(1 for task, ticks in after.ticks.items() if ticks > before.ticks.get(task, 0))

    return {
        "cpu_time_s": (after.cpu_ns - before.cpu_ns) / 1e9,
        "threads_seen": reasons.get("threads_seen", threads),
        "threads_active": reasons.get("threads_active", active),
        "context_switches": after.voluntary + after.involuntary - before.voluntary - before.involuntary,
        "voluntary_switches": after.voluntary - before.voluntary,
        "involuntary_switches": after.involuntary - before.involuntary,
        "nr_throttled": reasons.get("nr_throttled", lambda: since(before.throttled, after.throttled)),
        "throttled_s": reasons.get("throttled_s", lambda: since(before.throttled_s, after.throttled_s)),
    }


def window(begin_ns: int, end_ns: int, inferences: int) -> Dict[str, int]:
    """When the timed loop ran, for meters that the host reads: monotonic time, in ns, and how to check that the host's
    clock is the same one (the offset to the time of day is what tells two kernels, or two time namespaces, apart).

    `inferences`: rows of batches that were inferred between the two.
    """
    return {"begin_ns": begin_ns, "end_ns": end_ns, "inferences": inferences,
            "clock_offset_ns": time.time_ns() - time.perf_counter_ns()}


class Surroundings:
    """The machine around the trial, from its start to its end."""

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self._began = time.monotonic()
        self._foreign = Reasons().get("", lambda: Foreign(sorted(os.sched_getaffinity(0))))
        self._load = _load1()
        self._steal = _steal()
        self._pressure = _pressure()
        self._kills = Reasons().get("", cgroup.oom_kills)

    def report(self, reasons: Reasons) -> Dict[str, Any]:
        """The result's `environment`; reasons go below that path."""
        get = reasons.get
        where = "environment."
        return {
            "affinity": get(where + "affinity", lambda: sorted(os.sched_getaffinity(0))),
            "cgroup": self._cgroup.version if self._cgroup.version is not None else get(where + "cgroup", _no_group),
            "memory_limit_mb": get(where + "memory_limit_mb", self._cgroup.memory_limit_mb),
            "oom_kills": get(where + "oom_kills", lambda: _since(self._kills, self._cgroup.oom_kills())),
            "thread_variables": thread_variables(),
            "load1_start": _or(get, where + "load1_start", self._load), "load1_end": _or(get, where + "load1_end", _load1()),
            "steal_ticks": get(where + "steal_ticks", lambda: _since(self._steal, _steal())),
            "foreign_ticks": get(where + "foreign_ticks", self._others), "watched_s": round(time.monotonic() - self._began, 3),
            "pressure_cpu_us": get(where + "pressure_cpu_us", lambda: _since(self._pressure, _pressure())),
            "clock_ns": clock_cost_ns(),
        }


    def _others(self) -> int:
        found: Optional[int] = self._foreign.ticks() if self._foreign is not None else None
        if found is None:
            raise Missing("this kernel does not show what others use of the trial's CPUs")
        return found


def clock_cost_ns() -> int:
    """What two readings of the clock add to every sample: the least of many."""
    clock = time.perf_counter_ns
    least = 1 << 62
    for _ in range(200):
        before = clock()
        least = min(least, clock() - before)
    return least


def _or(get: Callable[[str, Callable[[], Any]], Any], path: str, value: Optional[float]) -> Any:
    return value if value is not None else get(path, _no_load)


def _no_load() -> float:
    raise Missing("/proc/loadavg cannot be read")


def _no_group() -> int:
    raise Missing("no control group is visible")


def _since(before: Optional[int], after: Optional[int]) -> int:
    if before is None or after is None:
        raise Missing("this kernel does not show it")
    return max(0, after - before)


def _load1() -> Optional[float]:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _steal() -> Optional[int]:
    """Ticks that other virtual machines took, over all CPUs."""
    try:
        return int(_read("/proc/stat").split("\n", 1)[0].split()[8])
    except (OSError, ValueError, IndexError):
        return None


def _pressure() -> Optional[int]:
    """Microseconds in which something on this machine waited for a CPU."""
    try:
        return int(_read("/proc/pressure/cpu").split("\n", 1)[0].rsplit("total=", 1)[1])
    except (OSError, ValueError, IndexError):
        return None


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
