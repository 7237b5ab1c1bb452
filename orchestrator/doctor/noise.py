"""The A/A check: the same work under two names, in fresh processes by turns. What differs is this machine's noise."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.special import stdtrit

from orchestrator.config.profiles import PROFILES
from orchestrator.doctor.check import Check, Verdict

_WORK = Path(__file__).with_name("noise_work.py")
_STATE_STEP = 1.5  # states differ by a factor of 5, noise within one by 10 %


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One fresh process: its median time, and the round trip between its first two CPUs (None: one CPU)."""

    median_ns: float
    core_to_core_ns: float | None


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What pairs of samples of the same work tell about the machine; shares of 1."""

    pairs: int
    spread: float  # standard deviation of the logarithm of a process's median
    false_difference: float  # geometric mean of A/B, minus 1
    half_width: float  # of its 95 % interval
    expected: tuple[tuple[str, int, float], ...]  # profile, trials, half width of a cell's 95 % interval
    states: tuple[float, ...]  # core-to-core round trips in ns, one a state seen


def measure_noise(
    cpus: Sequence[int], *, seconds: float = 15.0, sample_s: float = 0.3, max_pairs: int = 20
) -> Noise | None:
    """Take up to `max_pairs` pairs ABBA… within `seconds`; None where there was time for fewer than three."""
    end = time.monotonic() + seconds
    pairs: list[tuple[Sample, Sample]] = []
    slowest = 0.0
    while len(pairs) < max_pairs and time.monotonic() + slowest < end:
        begin = time.monotonic()
        first, second = _sample(cpus, sample_s, end), _sample(cpus, sample_s, end)
        if first is None or second is None:
            break
        pairs.append((first, second) if len(pairs) % 2 == 0 else (second, first))
        slowest = max(slowest, time.monotonic() - begin)
    return judge_noise(pairs)


def _sample(cpus: Sequence[int], sample_s: float, end: float) -> Sample | None:
    command = [sys.executable, "-I", str(_WORK), ",".join(map(str, cpus)), str(sample_s)]
    try:
        left = max(0.1, end - time.monotonic())
        done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=True)
    except subprocess.TimeoutExpired:
        return None
    return Sample(**json.loads(done.stdout))


def judge_noise(pairs: Sequence[tuple[Sample, Sample]]) -> Noise | None:
    """The statistics of the pairs (pure); None for fewer than three."""
    if len(pairs) < 3:
        return None
    ratios = [math.log(a.median_ns / b.median_ns) for a, b in pairs]
    samples = [sample for pair in pairs for sample in pair]
    spread = statistics.stdev(math.log(sample.median_ns) for sample in samples)
    return Noise(
        pairs=len(pairs),
        spread=spread,
        false_difference=math.expm1(statistics.fmean(ratios)),
        half_width=_half_width(statistics.stdev(ratios), len(ratios)),
        expected=tuple((one.name, one.trials, _half_width(spread, one.trials)) for one in PROFILES.values()),
        states=_states([s.core_to_core_ns for s in samples if s.core_to_core_ns is not None]),
    )


def _half_width(deviation: float, count: int) -> float:
    return float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)


def _states(trips: Sequence[float]) -> tuple[float, ...]:
    """The medians of groups of round trips that lie further apart than `_STATE_STEP`."""
    groups: list[list[float]] = []
    for trip in sorted(trips):
        if groups and trip < groups[-1][-1] * _STATE_STEP:
            groups[-1].append(trip)
        else:
            groups.append([trip])
    return tuple(statistics.median(group) for group in groups)


def check_noise(noise: Noise | None, *, seconds: float | None = None, load: str = "") -> tuple[Check, ...]:
    """What the A/A check means for the intervals of a run; `load`: the load average, said where there was no time for it."""
    if noise is None:
        given = "in the time given" if seconds is None else f"in the {seconds:g} s given"
        found = f"nothing to say: fewer than three pairs of fresh processes {given}{f' (load average {load})' if load else ''}"
        todo = "stop other work (see: top), or wait until it is over, and run doctor again; a run now would be as shaky"
        return (Check(name="noise", verdict=Verdict.WARN, found=found, do=todo),)
    widths = ", ".join(f"{name} ({trials} trials) ±{100 * width:.1f} %" for name, trials, width in noise.expected)
    found = (
        f"A/A over {noise.pairs} pairs: spread {100 * noise.spread:.1f} %, false difference "
        f"{100 * noise.false_difference:+.1f} % (±{100 * noise.half_width:.1f} %); to expect: {widths}"
    )
    if noise.spread <= 0.01:
        checks = [Check(name="noise", verdict=Verdict.GOOD, found=found)]
    else:
        verdict = Verdict.NOTE if noise.spread <= 0.03 else Verdict.WARN
        todo = "for narrower intervals: more trials (--profile standard), nothing else running, governor performance"
        checks = [Check(name="noise", verdict=verdict, found=found, do=todo)]
    trips = ", ".join(f"{trip:.0f} ns" for trip in noise.states)
    if len(noise.states) > 1:
        todo = "runs compare within a state only and repeat what fell outside; a machine of your own has one state"
        checks.append(Check(name="states", verdict=Verdict.WARN, found=f"core to core {trips}: the machine moved", do=todo))
    elif noise.states:
        checks.append(Check(name="states", verdict=Verdict.GOOD, found=f"one seen: core to core {trips}"))
    return tuple(checks)
