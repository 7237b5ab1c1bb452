from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merge.conditions import trial_key
from orchestrator.merge.state import STATE_SPAN, gap_clusters, gate_trial, gate_trials
from tests.merge.fabricate import FAST_NS, SLOW_NS, make_cell, make_probes, make_record

CELL = make_cell()
# start and end of consecutive trials on a two-CPU virtual machine beside other work, in ns
SEEN_FAST = [(175.2, 169.4), (189.2, 199.2), (200.9, 168.8), (156.8, 158.8), (203.2, 176.8), (148.5, 151.1)]
SEEN_SLOW = [(437.8, 444.7), (476.8, 421.2), (407.6, 370.3), (468.9, 432.2), (478.9, 462.8)]
SEEN_CHANGES = [(175.2, 442.3), (437.8, 148.5), (151.2, 458.8), (202.1, 437.8)]


def trials(ends: list[tuple[float, float]], first: int = 0) -> list[dict[str, Any]]:
    return [make_record(CELL, first + i, probes=make_probes(*pair)) for i, pair in enumerate(ends)]


def test_the_states_of_a_real_machine_are_told_apart() -> None:
    fast, slow, changed = trials(SEEN_FAST), trials(SEEN_SLOW, 10), trials(SEEN_CHANGES, 20)
    gate = gate_trials([*changed, *slow, *fast])
    assert {gate.trials[trial_key(r)].state for r in fast} == {"s1"}
    assert {gate.trials[trial_key(r)].state for r in slow} == {"s2"}
    assert all(gate.trials[trial_key(r)].valid for r in [*fast, *slow])
    assert [(s.id, s.trials, s.reference) for s in gate.states] == [("s1", 6, True), ("s2", 5, False)]
    for record in changed:
        verdict = gate.trials[trial_key(record)]
        assert not verdict.valid
        assert "state changed during the trial" in (verdict.reason or "")


def test_a_trial_in_another_state_than_most_counts_in_its_own() -> None:
    verdict = gate_trial(make_record(CELL, 30, probes=make_probes(450.0)), trials(SEEN_FAST))
    assert (verdict.valid, verdict.state) == (True, "s2")


def test_the_first_trial_counts_whatever_the_state() -> None:
    assert gate_trial(make_record(CELL, 0, probes=make_probes(SLOW_NS)), []).valid


def test_a_trial_without_probes_or_without_a_result_is_not_judged() -> None:
    crashed = make_record(CELL, 3, status="crashed")
    unprobed = make_record(CELL, 4, probes={})
    odd = make_record(CELL, 5, probes={"start": {"compute_ms": "fast", "core_to_core_ns": float("inf")}, "end": None})
    for record in (crashed, unprobed, odd):
        assert gate_trial(record, trials(SEEN_FAST)).valid


def test_one_thread_has_no_round_trip_and_its_own_state() -> None:
    single = make_cell(threads=1)
    alone = [make_record(single, i, probes=make_probes(None)) for i in range(3)]
    gate = gate_trials([*trials(SEEN_FAST), *alone])
    assert {gate.trials[trial_key(r)].state for r in alone} == {"s2"}
    assert all(state.reference for state in gate.states)


@pytest.mark.parametrize(("probes", "word"), [
    (make_probes(FAST_NS, compute_ms=7.0), "40 % slower"),
    (make_probes(FAST_NS, compute_ms=3.5), "43 % faster"),
    (make_probes(FAST_NS, memory_gbps=5.0), "memory bandwidth was 5.0 GB/s"),
])
def test_probes_far_off_the_peers_are_named(probes: dict[str, Any], word: str) -> None:
    verdict = gate_trial(make_record(CELL, 30, probes=probes), trials(SEEN_FAST))
    assert not verdict.valid
    assert word in (verdict.reason or "")


def loaded(index: int, middle_ms: float) -> dict[str, Any]:
    """A trial whose CPUs were shared: the middle reading rises, the best one hardly does."""
    record = make_record(CELL, index)
    for end in record["result"]["probes"].values():
        end.update(compute_ms=middle_ms, compute_best_ms=0.58)
    return record


def test_other_work_on_the_cpus_is_told_from_another_clock_and_calm_is_no_fault() -> None:
    calm, busy = [loaded(i, 0.6) for i in range(4)], [loaded(10 + i, 1.0) for i in range(5)]
    verdict = gate_trial(loaded(30, 1.0), calm)
    assert not verdict.valid
    assert "other work on its CPUs" in (verdict.reason or "")
    assert all(v.valid for v in gate_trials([*calm, *busy]).trials.values())


def test_a_slow_clock_at_one_end_only_does_not_matter() -> None:
    probes = make_probes(FAST_NS)
    probes["start"]["compute_ms"] *= 1.9  # as the first probe after idling often reads
    assert gate_trial(make_record(CELL, 30, probes=probes), trials(SEEN_FAST)).valid


def clocked(index: int, start_ms: float, end_ms: float) -> dict[str, Any]:
    """A trial with these best readings at its ends."""
    record = make_record(CELL, index)
    for end, best in zip(("start", "end"), (start_ms, end_ms), strict=True):
        record["result"]["probes"][end].update(compute_ms=0.75, compute_best_ms=best)
    return record


@pytest.mark.parametrize(("ends", "word"), [((0.45, 0.5), "faster"), ((0.95, 0.98), "slower")])
def test_another_clock_at_both_ends_sets_a_trial_apart(ends: tuple[float, float], word: str) -> None:
    if word == "slower":  # the middle reading cannot be below the best one
        odd = clocked(20, *ends)
        for end in odd["result"]["probes"].values():
            end["compute_ms"] = 1.0
    else:
        odd = clocked(20, *ends)
    gate = gate_trials([*(clocked(i, 0.7, 0.72) for i in range(19)), odd])
    refused = [verdict.reason for verdict in gate.trials.values() if not verdict.valid]
    assert len(refused) == 1
    assert word in str(refused[0])


def test_a_clock_that_comes_and_goes_within_trials_tells_none_apart_and_is_said() -> None:
    moving = [clocked(i, *((0.45, 0.75), (0.75, 0.45), (0.45, 0.48), (0.75, 0.76))[i % 4]) for i in range(20)]
    gate = gate_trials(moving)
    assert all(verdict.valid for verdict in gate.trials.values())
    assert any("clock of the CPUs changed within 10 of 20 trials" in warning for warning in gate.warnings)


def test_clocks_that_move_under_several_interpreters_are_one_warning() -> None:
    moving = [clocked(i, *((0.45, 0.75), (0.75, 0.45))[i % 2]) for i in range(20)]
    for record in moving[10:]:
        record["result"]["versions"]["python"] = "3.6.15"
    warnings = [warning for warning in gate_trials(moving).warnings if "clock" in warning]
    assert len(warnings) == 1
    assert "20 of 20 trials" in warnings[0]


def with_environment(index: int, **environment: Any) -> dict[str, Any]:
    record = make_record(CELL, index)
    record["result"]["environment"].update(environment)
    return record


@pytest.mark.parametrize(("environment", "word"), [
    ({"load1_start": 9.0}, "load average 9.0"), ({"steal_ticks": 120}, "withheld 20 %"),
    ({"foreign_ticks": 120, "watched_s": 2.0}, "other processes used 30 % of its CPUs' time"),
])
def test_a_disturbance_sets_a_trial_apart_only_where_it_is_the_exception(environment: dict[str, Any], word: str) -> None:
    calm = [make_record(CELL, i) for i in range(5)]
    verdict = gate_trial(with_environment(9, **environment), calm)
    assert not verdict.valid
    assert word in (verdict.reason or "")
    half = gate_trials([*calm, *[with_environment(10 + i, **environment) for i in range(5)]])
    assert all(v.valid for v in half.trials.values())
    assert "in 5 of 10 trials" in half.warnings[0]


def test_throttling_of_one_cell_marks_its_whole_trial() -> None:
    other = make_cell(batch=8)
    records = [make_record(cell, i) for i in range(4) for cell in (CELL, other)]
    records[1]["measurement"]["nr_throttled"] = 3
    gate = gate_trials(records)
    assert gate.trials[trial_key(records[0])].reason == "throttled 3 times by a CPU quota"
    assert sum(not v.valid for v in gate.trials.values()) == 1


@pytest.mark.parametrize(("gpu", "word"), [
    ({"foreign_processes": 2, "slowed_by": []}, "2 processes of others on its GPU"),
    ({"foreign_processes": None, "slowed_by": ["thermal slowdown"]}, "slowed down: thermal slowdown"),
])
def test_a_trial_beside_others_on_its_gpu_or_on_a_hot_one_does_not_count(gpu: dict[str, Any], word: str) -> None:
    calm = {"foreign_processes": 0, "slowed_by": []}
    trials = [make_record(CELL, i, gpu={"uuid": "GPU-a", "name": "G", **(gpu if i == 3 else calm)}) for i in range(5)]
    reasons = [verdict.reason for verdict in gate_trials(trials).trials.values() if not verdict.valid]
    assert len(reasons) == 1
    assert word in (reasons[0] or "")


def test_hosts_have_states_of_their_own() -> None:
    there = make_cell(host="there")
    far = [make_record(there, i, probes=make_probes(SLOW_NS), host={"fingerprint": "b"}) for i in range(3)]
    gate = gate_trials([*trials(SEEN_FAST), *far])
    assert [(s.id, s.host, s.reference) for s in gate.states] == [("s1", "local", True), ("s2", "there", True)]


@given(st.lists(st.floats(50, 1000), min_size=1, max_size=30), st.integers(0, 2**32))
def test_the_gate_does_not_depend_on_the_order(trips: list[float], seed: int) -> None:
    records = trials([(trip, trip) for trip in trips])
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    assert gate_trials(shuffled) == gate_trials(records)


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=60))
def test_clusters_are_runs_of_neighbours_and_never_wide(values: list[float]) -> None:
    ordered = sorted(values)
    parts = gap_clusters(ordered)
    assert list(itertools.chain(*parts)) == list(range(len(ordered)))
    assert all(ordered[part[-1]] <= STATE_SPAN * ordered[part[0]] * (1 + 1e-9) for part in parts)
