from __future__ import annotations

import math
import random

from benchmarks.coverage import Trace, Trial, long_run, simulate

STATES = {170.0: 2.0, 440.0: 3.6}  # round trip between cores in ns → median in ms


def made_up(trials: int, noise: float, stay: int) -> Trace:
    """Trials of a machine that changes its state every `stay` of them."""
    rng, found = random.Random(3), []
    for number in range(trials):
        ns, ms = list(STATES.items())[number // stay % 2]
        probe: dict[str, float | None] = {"compute_ms": 1.0, "compute_best_ms": 1.0, "memory_gbps": 10.0, "core_to_core_ns": ns}
        found.append(Trial(p50_ms=ms * math.exp(rng.gauss(0, noise)), probes={"start": probe, "end": probe}))
    return Trace(title="made up", trials=tuple(found))


def test_the_long_run_is_told_apart_by_state() -> None:
    truth = long_run(made_up(120, 0.01, 30))
    assert {round(ns): count for ns, (_, count) in truth.items()} == {170: 60, 440: 60}
    assert all(abs(ms / STATES[round(ns)] - 1) < 0.01 for ns, (ms, _) in truth.items())


def test_intervals_hold_the_planted_ratio_across_changes_of_state() -> None:
    trace = made_up(120, 0.01, 30)
    counts = simulate(trace, long_run(trace), rounds=5, factor=1.1, runs=100)
    assert counts["intervals"] >= 80
    assert counts["covered"] >= 0.95 * counts["intervals"]
    assert counts["wrong"] == 0
    assert counts["right"] >= 60
    assert counts["latency_covered"] >= 0.75 * counts["latencies"] > 0


def test_intervals_of_something_else_do_not_hold_it() -> None:
    trace = made_up(120, 0.01, 30)
    counts = simulate(trace, {ns: (2 * ms, 1) for ns, (ms, _) in long_run(trace).items()}, rounds=5, factor=1.0, runs=20)
    assert counts["latency_covered"] == 0 < counts["latencies"]
