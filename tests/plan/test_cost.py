from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.backends import Registry
from orchestrator.config.profiles import MIN_TRIALS, OFFICIAL, PROFILES, QUICK, STANDARD
from orchestrator.plan.cost import Assumptions, estimate
from orchestrator.plan.expand import expand
from orchestrator.plan.trials import group
from tests.config.madeup import AXES, read

FREE = Assumptions(start_s=0, import_load_s=0, probe_s=0, cell_s=0, slower=1)


def test_time_is_trials_times_overhead_and_cells(registry: Registry) -> None:
    specs = group(expand(read(AXES, registry), registry).cells)  # 4 loads of 2 cells
    profile = replace(QUICK, trials=5, warmup_s=1, min_duration_s=2, max_cell_s=10, trial_timeout_s=100)
    assert estimate(specs, profile, assumptions=FREE).seconds == pytest.approx(4 * 5 * 2 * 3)
    assert estimate(specs, profile, assumptions=replace(FREE, start_s=7)).seconds == pytest.approx(4 * 5 * (7 + 2 * 3))
    assert estimate(specs, profile, assumptions=FREE, anchors=3).seconds == pytest.approx(4 * 5 * 2 * 3 + 3 * 3)
    assert estimate(specs, profile, anchors=3).trials == 23


def test_the_bound_is_the_cells_limits_or_the_trial_s_whichever_comes_first(registry: Registry) -> None:
    specs = group(expand(read(AXES, registry), registry).cells)
    profile = replace(QUICK, trials=5, warmup_s=1, max_cell_s=10, trial_timeout_s=100)
    assert estimate(specs, profile, assumptions=FREE).at_most_s == pytest.approx(4 * 5 * 2 * 11)
    assert estimate(specs, replace(profile, trial_timeout_s=15), assumptions=FREE).at_most_s == pytest.approx(4 * 5 * 15)


def test_the_assumptions_are_stated_with_the_profile_s_own_figures() -> None:
    stated = "\n".join(Assumptions().sentences(QUICK))
    assert "2 s per trial" in stated
    assert f"{QUICK.warmup_s + QUICK.min_duration_s:g} s per cell" in stated
    assert "180 s" in stated


def test_the_profiles_keep_the_design_s_rules() -> None:
    assert [(p.name, p.trials >= MIN_TRIALS[p.name]) for p in PROFILES.values()] == [
        ("quick", True), ("standard", True), ("official", True)
    ]
    assert dict(MIN_TRIALS) == {"quick": 3, "standard": 5, "official": 20}
    assert OFFICIAL.min_duration_s >= 60
    assert STANDARD.min_duration_s >= 3
    assert all(p.max_cell_s > p.min_duration_s and p.trial_timeout_s > p.max_cell_s for p in PROFILES.values())
