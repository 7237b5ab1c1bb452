from __future__ import annotations

import numpy as np
import pytest

from orchestrator.merge.compare import FAMILY_ALPHA
from orchestrator.merge.verdict import Verdict
from tests.merge.adaptive import measure, rates
from tests.merge.simulate import Noise, Shape, scatter

TWINS = Shape(cells=2, groups=1, trials=5)
SMALL = Shape(cells=3, groups=2, trials=5)


@pytest.mark.parametrize("noise", list(Noise))
def test_equal_backends_measured_until_the_budget_ends_have_no_winner(noise: Noise) -> None:
    """Looked at after every round, the worst that can be done; `python -m benchmarks.adaptive_power` has the long run."""
    found = rates(TWINS, noise, 0.08, budget=25, repeats=120, every_round=True)
    assert found.false_winner <= FAMILY_ALPHA + 0.025  # two standard errors of 120 draws


def test_trials_go_on_until_a_clear_difference_is_decided_and_no_longer() -> None:
    clear = rates(SMALL, Noise.NORMAL, 0.02, budget=40, slowdown=0.5, repeats=10)
    assert clear.found == 1
    hard = rates(TWINS, Noise.NORMAL, 0.03, budget=60, slowdown=0.08, repeats=25)
    once = rates(TWINS, Noise.NORMAL, 0.03, budget=5, slowdown=0.08, repeats=25)
    assert once.found < 0.5 < 0.9 < hard.found
    assert once.trials == 5
    assert 8 < hard.trials < 45  # it stopped early where it could
    assert hard.false_tie == 0


def test_calm_twins_end_tied() -> None:
    found = rates(TWINS, Noise.NORMAL, 0.008, budget=60, repeats=25)
    assert found.settled >= 0.95
    assert found.trials < 30


def test_a_settled_comparison_gets_no_more_trials_than_its_open_neighbours() -> None:
    logs = scatter(np.random.default_rng(2), Shape(cells=3, groups=1, trials=200), Noise.NORMAL, 0.015)
    logs[0, 2] += 0.7  # far slower: decided against both at the first look
    end = measure(logs, first=5, budget_s=60)
    assert [one.pairs for one in end.comparisons if "c2" in one.b] == [5, 5]
    [twins] = [one for one in end.comparisons if "c2" not in one.a + one.b]
    assert twins.pairs > 5
    assert twins.verdict is not Verdict.DECIDED
