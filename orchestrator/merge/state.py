"""The machine-state gate: which trials were measured on the machine as it mostly was.

A virtual machine's CPUs may be moved between cores that share a cache and cores that do not. Measured on such a
machine over some minutes (two virtual CPUs, other work coming and going, 60 brackets of probe–work–probe): the
core-to-core round trip was 148 to 205 ns or 370 to 475 ns and never between, it flipped every 5 to 60 s, and work on
two threads took 1.8 times as long in the slow state. So states are told apart by gaps in that round trip alone.
Compute and memory probes did not tell the states apart, but show foreign load: the best compute reading stayed within
10 %, the middle one rose by 60 % and more when other work shared the CPUs, and by 80 % after idling (hence the better of
start and end counts); memory bandwidth wandered by ±25 %, with dips to less than half beside a foreign load.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orchestrator.merge.conditions import Trial, TrialKey, conditions, odd_clock, odd_compute, odd_memory, trial_key, trial_of
from orchestrator.merge.statistics import median

# Widest round trips seen within a state: a factor of 1.37; nearest two states: 1.8.
STATE_GAP = 1.5
STATE_SPAN = 2.0  # round trips that wander without a gap are still not one state over more than this


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """One state that a host was seen in; the probes are medians over its trials."""

    id: str
    host: str
    fingerprint: str
    trials: int
    core_to_core_ns: float | None
    compute_ms: float | None
    memory_gbps: float | None
    reference: bool  # the state with most trials among those with the same probes


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate says of one trial: why it does not count (if so), and the state it was measured in."""

    valid: bool
    reason: str | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The gate's view of all trials of a run. `trials` judges each on its own state: valid in any state."""

    trials: Mapping[TrialKey, Verdict]
    states: tuple[MachineState, ...]
    warnings: tuple[str, ...] = ()


def gate_trial(record: Mapping[str, Any], peers: Iterable[Mapping[str, Any]]) -> Verdict:
    """Whether a trial that just ended counts, seen beside the trials so far (one record of each will do).

    A trial in another state than most is valid: it is compared within that state. Repeating it until the machine
    happens to be back would take longer than the whole run where states change every few seconds. The first trial has no
    peers and is only held against itself.
    """
    return gate_trials([*peers, record]).trials[trial_key(record)]


def gate_trials(records: Iterable[Mapping[str, Any]]) -> Gate:
    """Judge all trials of a run together; does not depend on the records' order."""
    trials: dict[TrialKey, Trial] = {}
    for record in records:
        key = trial_key(record)
        trials[key] = trial_of(record, key, trials.get(key))
    verdicts: dict[TrialKey, Verdict] = {}
    states: list[MachineState] = []
    warnings: list[str] = []
    by_host: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for key in sorted(trials):
        by_host[(key.host, key.fingerprint)].append(trials[key])
    for pool in by_host.values():
        found, named, said = _gate_host([trial for trial in pool if trial.measured], first_id=len(states) + 1)
        verdicts.update(found)
        states.extend(named)
        warnings.extend(said)
    for key in trials:
        verdicts.setdefault(key, Verdict(valid=True))
    return Gate(trials=verdicts, states=tuple(states), warnings=tuple(warnings))


def _gate_host(
    trials: Sequence[Trial], *, first_id: int
) -> tuple[dict[TrialKey, Verdict], list[MachineState], list[str]]:
    reasons = {trial.key: _changed(trial) for trial in trials}
    foreign, warnings = conditions(trials)
    members, ids = _named_states([t for t in trials if reasons[t.key] is None], first_id)
    other_clock, moving = odd_clock(trials)
    odd = {**odd_memory(trials), **odd_compute(trials), **other_clock}
    verdicts = {}
    for trial in trials:
        reason = reasons[trial.key] or foreign.get(trial.key) or odd.get(trial.key)
        verdicts[trial.key] = Verdict(valid=reason is None, reason=reason, state=ids.get(trial.key))
    counts = Counter(ids[t.key] for group in members.values() for t in group if verdicts[t.key].valid)
    return verdicts, _describe(members, counts), [*warnings, *moving]


def _named_states(trials: Sequence[Trial], first_id: int) -> tuple[dict[str, list[Trial]], dict[TrialKey, str]]:
    """State id → its trials. Ids count up with the round trip; trials on one CPU have none and come last."""
    timed = sorted((t for t in trials if t.round_trip is not None), key=lambda t: (t.round_trip or 0.0, t.key))
    groups = [[timed[i] for i in part] for part in gap_clusters([t.round_trip or 0.0 for t in timed])]
    alone = [t for t in trials if t.round_trip is None]
    if alone:
        groups.append(alone)
    members = {f"s{number}": group for number, group in enumerate(groups, start=first_id)}
    return members, {trial.key: name for name, group in members.items() for trial in group}


def gap_clusters(ordered: Sequence[float]) -> list[list[int]]:
    """Indices of ascending positive values, cut wherever one is STATE_GAP times the one before.

    What has no such gap but spans more than STATE_SPAN is cut at its largest gaps.
    """
    if not ordered:
        return []
    logs = [math.log(value) for value in ordered]
    pieces, done = [list(range(len(logs)))], []
    while pieces:
        piece = pieces.pop()
        steps = [(logs[b] - logs[a], a) for a, b in pairwise(piece)]
        widest, after = max(steps, default=(0.0, piece[0]), key=lambda step: (step[0], -step[1]))
        if widest > math.log(STATE_GAP) or logs[piece[-1]] - logs[piece[0]] > math.log(STATE_SPAN):
            cut = piece.index(after) + 1
            pieces += [piece[:cut], piece[cut:]]
        else:
            done.append(piece)
    return sorted(done)


def _changed(trial: Trial) -> str | None:
    """Why a trial cannot be in one state: its two ends are not."""
    first, last = trial.start.core_to_core_ns, trial.end.core_to_core_ns
    if first is None or last is None or max(first, last) <= STATE_GAP * min(first, last):
        return None
    return (f"the machine's state changed during the trial: core-to-core round trip {first:.0f} ns at its start, "
            f"{last:.0f} ns at its end")


def _describe(members: Mapping[str, Sequence[Trial]], counts: Mapping[str, int]) -> list[MachineState]:
    reference = set()
    for alone in (False, True):
        names = [name for name, group in members.items() if (group[0].round_trip is None) is alone]
        if names:
            # most trials; the shorter round trip breaks a tie (the names are in that order)
            reference.add(max(names, key=lambda name: (counts.get(name, 0), -names.index(name))))
    return [
        MachineState(
            id=name, host=group[0].key.host, fingerprint=group[0].key.fingerprint, trials=counts.get(name, 0),
            core_to_core_ns=_median_of([t.round_trip for t in group]),
            compute_ms=_median_of([t.compute for t in group]),
            memory_gbps=_median_of([t.memory for t in group]),
            reference=name in reference,
        )
        for name, group in members.items()
    ]


def _median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
