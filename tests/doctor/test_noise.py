from __future__ import annotations

import random

import pytest

from orchestrator.config.profiles import PROFILES
from orchestrator.doctor.check import Verdict
from orchestrator.doctor.noise import Sample, check_noise, judge_noise, measure_noise
from orchestrator.hostfacts import choose_cpus, read_host


def pairs_of(
    count: int, *, spread: float, factor: float = 1.0, trips: tuple[float | None, ...] = (100.0,)
) -> list[tuple[Sample, Sample]]:
    dice = random.Random(7)

    def sample(scale: float, trip: float | None) -> Sample:
        return Sample(median_ns=1e6 * scale * (1 + dice.gauss(0, spread)), core_to_core_ns=trip)

    return [(sample(factor, trips[i % len(trips)]), sample(1.0, trips[i % len(trips)])) for i in range(count)]


def test_a_quiet_machine_shows_no_difference() -> None:
    noise = judge_noise(pairs_of(15, spread=0.002))
    assert noise is not None
    assert abs(noise.false_difference) <= 2 * noise.half_width < 0.005
    assert check_noise(noise)[0].verdict is Verdict.GOOD


def test_a_planted_difference_is_seen() -> None:
    noise = judge_noise(pairs_of(15, spread=0.005, factor=1.1))
    assert noise is not None
    assert noise.false_difference == pytest.approx(0.1, abs=0.01)
    assert noise.half_width < 0.02


def test_more_trials_promise_narrower_intervals() -> None:
    noise = judge_noise(pairs_of(10, spread=0.05))
    assert noise is not None
    widths = [width for _, _, width in noise.expected]
    assert widths == sorted(widths, reverse=True)
    assert [(name, trials) for name, trials, _ in noise.expected] == [(p.name, p.trials) for p in PROFILES.values()]
    # Student's t: 2.7764 · s / √5 for five trials
    assert noise.expected[0][1] == 5
    assert widths[0] == pytest.approx(2.7764 * noise.spread / 5**0.5, rel=1e-4)
    assert check_noise(noise)[0].verdict is Verdict.WARN


def test_states_are_told_apart_by_the_round_trip() -> None:
    noise = judge_noise(pairs_of(12, spread=0.01, trips=(62.0, 65.0, 345.0, 350.0)))
    assert noise is not None
    assert noise.states == (63.5, 347.5)
    checks = check_noise(noise)
    assert [check.verdict for check in checks if check.name == "states"] == [Verdict.WARN]


def test_one_cpu_has_no_round_trip_and_no_line_for_states() -> None:
    noise = judge_noise(pairs_of(4, spread=0.01, trips=(None,)))
    assert noise is not None
    assert noise.states == ()
    assert [check.name for check in check_noise(noise)] == ["noise"]


def test_too_few_pairs_are_no_finding() -> None:
    assert judge_noise(pairs_of(2, spread=0.01)) is None
    (check,) = check_noise(None, seconds=15.0, load="9.0 on 2 CPUs")
    assert check.verdict is Verdict.WARN
    assert "load average 9.0 on 2 CPUs" in check.found
    assert check.do


def test_real_processes_give_pairs_and_a_round_trip() -> None:
    facts = read_host()
    cpus = choose_cpus(facts, min(2, len(facts.usable_cpus)))
    noise = measure_noise(cpus, seconds=120, sample_s=0.02, max_pairs=3)
    assert noise is not None
    assert noise.pairs == 3
    assert noise.spread > 0
    assert bool(noise.states) == (len(cpus) > 1)


def test_no_time_gives_no_finding_instead_of_an_error() -> None:
    assert measure_noise((0,), seconds=0.05, sample_s=0.02) is None
