"""What a record says of the machine while its trial ran: probes, load, steal, throttling."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from orchestrator.counting import several
from orchestrator.merge.statistics import median

CLOCK_FACTOR = 1.25  # best compute reading, slower or faster than the peers' median by more at both ends: another clock
CLOCK_MOVES = 0.1  # of the trials: where more have another clock at their end than at their start, it tells no trials apart
SHARED_FACTOR = 1.5  # middle compute reading, slower by more: other work on the same CPUs
MEMORY_FRACTION = 0.6  # of the peers' median bandwidth
STEAL_FRACTION = 0.05  # of the CPU time that the trial's CPUs had
FOREIGN_FRACTION = 0.1  # of the same, used by processes that are not the trial's
_TICKS_PER_SECOND = 100  # USER_HZ, the unit of /proc/stat on every Linux machine
_MIN_PEERS = 3  # a median of fewer says nothing about an outlier


class TrialKey(NamedTuple):
    """Which trial a record belongs to; cells that share a load share it."""

    host: str
    fingerprint: str
    spec: str
    number: int
    attempt: int
    anchor: bool
    started: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One reading of the probes; None where it could not be had."""

    compute_ms: float | None = None  # the middle of some readings
    compute_best_ms: float | None = None
    memory_gbps: float | None = None
    core_to_core_ns: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial as the gate sees it."""

    key: TrialKey
    measured: bool  # it came far enough to have a result
    start: Probe
    end: Probe
    peer_group: tuple[Any, ...]  # trials whose compute and memory probes can be held against each other
    cpus: int
    load_start: float | None
    steal_fraction: float | None
    foreign_fraction: float | None
    throttled: int
    gpu_foreign: int = 0  # processes of others seen on its GPU at once
    gpu_slowed: tuple[str, ...] = ()  # why the GPU's clocks were held down

    @property
    def round_trip(self) -> float | None:
        """Core to core, in ns: geometric mean of both ends."""
        known = [v for v in (self.start.core_to_core_ns, self.end.core_to_core_ns) if v is not None]
        return math.exp(sum(map(math.log, known)) / len(known)) if known else None

    @property
    def compute(self) -> float | None:
        """The better end, in ms: the first probe after idling often still finds a slow clock."""
        return min((v for v in (self.start.compute_ms, self.end.compute_ms) if v is not None), default=None)

    @property
    def clocks(self) -> tuple[float, ...]:
        """The fastest reading of each end, in ms: what the CPU can do, whoever else is on it."""
        ends = [[v for v in (end.compute_best_ms, end.compute_ms) if v is not None] for end in (self.start, self.end)]
        return tuple(min(readings) for readings in ends if readings)

    @property
    def memory(self) -> float | None:
        """The better end, in GB/s."""
        return max((v for v in (self.start.memory_gbps, self.end.memory_gbps) if v is not None), default=None)


def trial_key(record: Mapping[str, Any]) -> TrialKey:
    """The trial of a record."""
    trial, host = record["trial"], record.get("host") or {}
    return TrialKey(
        host=str(record["cell"]["host"]), fingerprint=str(host.get("fingerprint")), spec=str(trial["spec"]),
        number=int(trial["index"]), attempt=int(trial["attempt"]), anchor=bool(trial.get("anchor")),
        started=str(record.get("started")),
    )


def trial_of(record: Mapping[str, Any], key: TrialKey, known: Trial | None = None) -> Trial:
    """The trial of a record, whose key that is; `known`: what another record of it said (throttling is per cell)."""
    throttled = int(_number(_part(record, "measurement").get("nr_throttled")) or 0)
    throttled = max(throttled, known.throttled if known else 0)
    result = _part(record, "result")
    if known is not None and (known.measured or not _part(result, "probes")):
        return replace(known, throttled=throttled)
    environment, probes = _part(result, "environment"), _part(result, "probes")
    affinity = environment.get("affinity")
    cpus = len(affinity) if isinstance(affinity, list) and affinity else _cores(record["cell"])
    steal, wall = _number(environment.get("steal_ticks"), at_least_zero=True), _number(record.get("wall_s"))
    foreign = _number(environment.get("foreign_ticks"), at_least_zero=True)
    watched = _number(environment.get("watched_s"))
    python = str(_part(result, "versions").get("python"))
    gpu = _part(record, "gpu")
    slowed = gpu.get("slowed_by")
    return Trial(
        key=key, measured=bool(probes), start=_probe(probes, "start"), end=_probe(probes, "end"),
        peer_group=(cpus, ".".join(python.split(".")[:2])),
        cpus=cpus,
        load_start=_number(environment.get("load1_start"), at_least_zero=True),
        steal_fraction=None if steal is None or wall is None else steal / _TICKS_PER_SECOND / (wall * cpus),
        foreign_fraction=None if foreign is None or watched is None else foreign / _TICKS_PER_SECOND / (watched * cpus),
        throttled=throttled, gpu_foreign=int(_number(gpu.get("foreign_processes")) or 0),
        gpu_slowed=tuple(map(str, slowed)) if isinstance(slowed, list) else (),
    )


def conditions(trials: Sequence[Trial]) -> tuple[dict[TrialKey, str], list[str]]:
    """Trials disturbed from outside, with the reason; and what disturbs so many that it is how this machine is.

    What at least half of all trials show does not set a trial apart from its peers: it becomes a warning instead.
    """
    reasons: dict[TrialKey, str] = {}
    warnings: list[str] = []
    for name, describe in _CONDITIONS.items():
        hit = {trial.key: text for trial in trials if (text := describe(trial)) is not None}
        if 2 * len(hit) >= len(trials):
            if hit:
                warnings.append(f"{name} in {len(hit)} of {len(trials)} trials: the numbers hold for this machine "
                                "under that condition only")
        else:
            reasons.update(hit)
    return reasons, warnings


def odd_compute(trials: Sequence[Trial]) -> dict[TrialKey, str]:
    """Trials whose compute probe shows other work beside them, with the reason."""
    return _odd(trials, lambda trial: trial.compute, _shared_reason)


def odd_clock(trials: Sequence[Trial]) -> tuple[dict[TrialKey, str], list[str]]:
    """Trials that ran on another clock than their peers, with the reason; and a warning where that cannot be told.

    Both ends must say so. A probe takes a millisecond: where the clock (or whoever shares the core of a virtual CPU) comes
    and goes within trials, which of two clocks a probe finds is chance. On such a machine, trials whose probes were 45 %
    faster were themselves 4 % faster: leaving them out costs trials and tells nothing.
    """
    reasons: dict[TrialKey, str] = {}
    restless, among = 0, 0  # trials within which the clock changed, and all of their groups: one warning for all groups
    groups: dict[tuple[Any, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.clocks:
            groups[trial.peer_group].append(trial)
    for group in groups.values():
        if len(group) < _MIN_PEERS:
            continue
        moved = sum(1 for trial in group if max(trial.clocks) > CLOCK_FACTOR * min(trial.clocks))
        if moved > CLOCK_MOVES * len(group):
            restless, among = restless + moved, among + len(group)
            continue
        usual = median([reading for trial in group for reading in trial.clocks])
        reasons.update({trial.key: why for trial in group if (why := _clock_reason(trial.clocks, usual)) is not None})
    if not restless:
        return reasons, []
    return reasons, [f"the clock of the CPUs changed within {restless} of {several(among, 'trial')}: none of them is left "
                     "out for its clock, and what it does is in the intervals"]


def odd_memory(trials: Sequence[Trial]) -> dict[TrialKey, str]:
    """Trials with less than MEMORY_FRACTION of their peers' memory bandwidth, with the reason."""
    return _odd(trials, lambda trial: trial.memory, _memory_reason)


def _odd(
    trials: Sequence[Trial], value: Callable[[Trial], float | None], why: Callable[[float, float], str | None]
) -> dict[TrialKey, str]:
    groups: dict[tuple[Any, ...], list[tuple[TrialKey, float]]] = defaultdict(list)
    for trial in trials:
        read = value(trial)
        if read is not None:
            groups[trial.peer_group].append((trial.key, read))
    reasons = {}
    for group in groups.values():
        usual = median([read for _, read in group])
        for key, read in group:
            text = why(read, usual) if len(group) >= _MIN_PEERS else None
            if text is not None:
                reasons[key] = text
    return reasons


def _shared_reason(read: float, usual: float) -> str | None:
    if read <= SHARED_FACTOR * usual:
        return None
    return f"other work on its CPUs: the compute probe took {read:.2f} ms, in the other trials {usual:.2f} ms"


def _clock_reason(ends: Sequence[float], usual: float) -> str | None:
    slower, faster = min(ends) > usual * CLOCK_FACTOR, max(ends) < usual / CLOCK_FACTOR
    if not slower and not faster:
        return None
    word, read = ("slower", min(ends)) if slower else ("faster", max(ends))
    ratio = max(read, usual) / min(read, usual)
    return f"the compute probe was {100 * (ratio - 1):.0f} % {word} than in the other trials ({read:.2f} ms, {usual:.2f} ms)"


def _memory_reason(read: float, usual: float) -> str | None:
    if read >= MEMORY_FRACTION * usual:
        return None
    return f"memory bandwidth was {read:.1f} GB/s; the other trials had {usual:.1f} GB/s"


def load_limit(cpus: int) -> float:
    """The load average at its start above which a trial on so many CPUs does not count.

    The trial before it leaves up to one runnable thread per CPU in the one-minute average.
    """
    return 1.5 * cpus + 1


def _load_reason(trial: Trial) -> str | None:
    if trial.load_start is None or trial.load_start <= load_limit(trial.cpus):
        return None
    return (f"foreign load: load average {trial.load_start:.1f} at its start on {several(trial.cpus, 'CPU')} "
            f"(more than {load_limit(trial.cpus):g} does not count)")


def _steal_reason(trial: Trial) -> str | None:
    if trial.steal_fraction is None or trial.steal_fraction <= STEAL_FRACTION:
        return None
    return f"the hypervisor withheld {100 * trial.steal_fraction:.0f} % of the CPU time (steal)"


def _foreign_reason(trial: Trial) -> str | None:
    if trial.foreign_fraction is None or trial.foreign_fraction <= FOREIGN_FRACTION:
        return None
    return f"other processes used {100 * trial.foreign_fraction:.0f} % of its CPUs' time"


def _throttle_reason(trial: Trial) -> str | None:
    return f"throttled {trial.throttled} times by a CPU quota" if trial.throttled else None


def _gpu_foreign_reason(trial: Trial) -> str | None:
    return f"{several(trial.gpu_foreign, 'process', 'processes')} of others on its GPU" if trial.gpu_foreign else None


def _gpu_slowed_reason(trial: Trial) -> str | None:
    return f"its GPU was slowed down: {', '.join(trial.gpu_slowed)}" if trial.gpu_slowed else None


_CONDITIONS: Mapping[str, Callable[[Trial], str | None]] = {
    "foreign load": _load_reason, "other processes on the same CPUs": _foreign_reason,
    "CPU time withheld by the hypervisor": _steal_reason,
    "throttling by a CPU quota": _throttle_reason, "other processes on the GPU": _gpu_foreign_reason,
    "a GPU that was too hot or short of power": _gpu_slowed_reason,
}


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object, or an empty one: what a container reports is only loosely typed here."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _probe(probes: Mapping[str, Any], end: str) -> Probe:
    found = _part(probes, end)
    return Probe(
        compute_ms=_number(found.get("compute_ms")), compute_best_ms=_number(found.get("compute_best_ms")),
        memory_gbps=_number(found.get("memory_gbps")), core_to_core_ns=_number(found.get("core_to_core_ns")),
    )


def _number(value: Any, *, at_least_zero: bool = False) -> float | None:
    """A finite positive number (or zero where allowed); anything else counts as not measured."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if value > 0 or (at_least_zero and value == 0) else None


def _cores(cell: Mapping[str, Any]) -> int:
    return int(cell["threads"]) * int(cell.get("instances", 1))
