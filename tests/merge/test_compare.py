from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.merge.compare import FAMILY_ALPHA, Comparison, Series, compare, holm_levels, standing
from orchestrator.merge.variance import steadied
from tests.merge.simulate import Noise, Shape, compared, rates

GROUP = (("model", "spam"), ("batch", 1))


def series(name: str, medians: list[float], state: str = "s1", group: tuple[tuple[str, object], ...] = GROUP) -> Series:
    return Series(id=name, group=group, medians_ms={state: dict(enumerate(medians))})


def by_pair(found: list[Comparison]) -> dict[frozenset[str], Comparison]:
    return {frozenset((one.a, one.b)): one for one in found}


def test_a_clear_difference_is_decided_and_named() -> None:
    [one] = compare([series("a", [2.0, 2.01, 1.99, 2.0, 2.02]), series("b", [1.0, 1.01, 1.0, 0.99, 1.0])])
    assert one.decided
    assert one.faster == "b"
    assert one.ratio == pytest.approx(2.0, rel=0.02)
    assert one.interval is not None
    assert one.interval[0] > 1.9
    assert dict(one.group) == dict(GROUP)


def test_a_real_difference_below_the_minimum_effect_is_a_tie() -> None:
    rng = np.random.default_rng(3)
    a, b = (1.01 * np.exp(rng.normal(0, 2e-4, 20))).tolist(), np.exp(rng.normal(0, 2e-4, 20)).tolist()
    [one] = compare([series("a", a), series("b", b)])
    assert not one.decided
    assert one.interval is not None
    assert one.interval[0] > 1
    assert "minimum effect" in one.why


def test_drift_that_hits_a_round_as_a_whole_does_not_hide_a_difference() -> None:
    rounds = [1.0, 1.3, 1.8, 2.6, 4.0]
    [one] = compare([series("a", [1.1 * r for r in rounds]), series("b", rounds)])
    assert one.faster == "b"


def test_cells_of_different_groups_are_not_compared() -> None:
    assert compare([series("a", [1.0] * 5), series("b", [2.0] * 5, group=(("model", "spam"), ("batch", 8)))]) == []


@pytest.mark.parametrize(("a", "b", "pairs", "word"), [
    (series("a", [1.0] * 5), series("b", [2.0] * 5, state="s2"), 0, "never measured in the same"),
    (series("a", [1.0] * 5), series("b", [2.0] * 2), 2, "2 pairs"),
])
def test_without_common_rounds_in_one_state_nothing_is_decided(a: Series, b: Series, pairs: int, word: str) -> None:
    [one] = compare([a, b])
    assert (one.pairs, one.decided, one.interval) == (pairs, False, None)
    assert word in one.why


def test_pairs_of_all_states_count_and_each_is_of_one_state() -> None:
    both = {"s1": {0: 1.0, 1: 1.0, 2: 1.01}, "s2": {3: 1.8, 4: 1.8}}
    one = Series(id="a", group=GROUP, medians_ms=both)
    other = Series(id="b", group=GROUP, medians_ms={s: {r: 2 * v for r, v in m.items()} for s, m in both.items()})
    [found] = compare([one, other])
    assert (found.state, found.pairs, found.faster) == ("s1+s2", 5, "a")
    assert found.ratio == pytest.approx(0.5)


def test_trials_of_one_state_but_of_other_rounds_are_paired_in_order_of_time() -> None:
    one = Series(id="a", group=GROUP, medians_ms={"s1": {0: 1.0, 1: 1.0, 4: 1.0}, "s2": {2: 1.8, 3: 1.8}})
    other = Series(id="b", group=GROUP, medians_ms={"s1": {0: 2.0, 2: 2.0, 3: 2.0}, "s2": {1: 3.6, 4: 3.6}})
    [found] = compare([one, other])
    assert (found.pairs, found.faster) == (5, "a")
    assert found.ratio == pytest.approx(0.5)


def test_a_ratio_that_depends_on_the_state_is_not_decided_by_one_of_them() -> None:
    one = Series(id="a", group=GROUP, medians_ms={"s1": {0: 1.0, 1: 1.0, 2: 1.0}, "s2": {3: 2.0, 4: 2.0}})
    other = Series(id="b", group=GROUP, medians_ms={"s1": {0: 1.2, 1: 1.2, 2: 1.2}, "s2": {3: 1.6, 4: 1.6}})
    [found] = compare([one, other])
    assert not found.decided


def test_one_trial_that_disagrees_keeps_two_cells_tied() -> None:
    [one] = compare([series("a", [1.1, 1.1, 1.1, 1.1, 0.95]), series("b", [1.0] * 5)])
    assert (one.pairs, one.decided) == (5, False)


def test_one_round_in_an_unnoticed_state_is_left_out_and_said() -> None:
    [one] = compare([series("a", [1.1, 1.11, 1.1, 1.1, 1.1]), series("b", [1.0, 1.0, 1.8, 1.0, 1.01])])
    assert (one.pairs, one.faster) == (4, "b")
    assert "1 of 5 rounds left out" in one.why


@pytest.mark.parametrize("b", [
    [1.0, 1.0, 1.8, 1.8, 1.0],  # two of five are no exception
    [1.0, 1.2, 1.8, 0.9, 1.1],  # the others scatter as well
    [1.0, 1.01, 1.25, 1.0, 1.0],  # within what noise can do
    [1.0, 1.0, 1.8],  # too few to tell
])
def test_noise_is_not_trimmed_away(b: list[float]) -> None:
    [one] = compare([series("a", [1.1] * len(b)), series("b", b)])
    assert (one.pairs, one.decided) == (len(b), False)


def test_what_all_others_show_does_not_outvote_a_trial_that_disagrees() -> None:
    rng = np.random.default_rng(4)
    calm = [series(f"c{i}", np.exp(rng.normal(0, 0.01, 5)).tolist(), group=(("model", f"m{i // 4}"),)) for i in range(40)]
    agree, disagree = [1.16, 1.15, 1.15, 1.15, 1.15], [1.17, 1.17, 1.17, 1.17, 0.98]  # of the same mean
    for trials, decided in ((agree, True), (disagree, False)):
        found = compare([*calm, series("a", trials), series("b", [1.0] * 5)])
        assert by_pair(found)[frozenset("ab")].decided is decided


def test_best_is_only_who_beat_all_and_ties_name_each_other() -> None:
    quick, twin, slow = [1.0, 1.01, 0.99, 1.0, 1.0], [1.01, 0.99, 1.0, 1.0, 1.01], [2.0, 2.01, 1.99, 2.0, 2.0]
    found = by_pair(compare([series("quick", quick), series("twin", twin), series("slow", slow)]))
    assert standing("quick", ["twin", "slow"], found) == (False, ["twin"])
    assert standing("twin", ["quick", "slow"], found) == (False, ["quick"])
    assert standing("slow", ["quick", "twin"], found) == (False, [])
    assert standing("quick", ["slow"], found) == (True, [])
    assert standing("quick", [], found) == (False, [])
    assert standing("quick", ["slow", "not compared"], found) == (False, [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_holm_levels_reject_exactly_as_the_step_down_procedure(values: list[float]) -> None:
    p = np.array(values)
    levels = holm_levels(p, 0.05)
    rejected = np.zeros(p.size, dtype=bool)
    for k, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] > 0.05 / (p.size - k):
            break
        rejected[index] = True
    assert ((p <= levels) == rejected).all()
    assert (np.diff(levels[np.argsort(p, kind="stable")]) >= 0).all()  # never stricter for a larger p
    assert levels.min() >= 0.05 / p.size
    assert levels.max() <= 0.05


@given(st.integers(0, 2**32), st.integers(2, 5))
@settings(max_examples=25)
def test_comparisons_do_not_depend_on_the_order(seed: int, trials: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [series(f"c{i}", np.exp(rng.normal(0, 0.05, trials)).tolist()) for i in range(5)]
    shuffled = list(cells)
    random.Random(seed).shuffle(shuffled)
    assert compare(shuffled) == compare(cells)


@given(st.integers(0, 2**32), st.sampled_from([0.125, 8.0]))
@settings(max_examples=25)
def test_a_ratio_does_not_depend_on_the_unit(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    rows = [np.exp(rng.normal(0.1 * i, 0.02, 5)) for i in range(4)]
    plain = compare([series(f"c{i}", row.tolist()) for i, row in enumerate(rows)])
    scaled = compare([series(f"c{i}", (factor * row).tolist()) for i, row in enumerate(rows)])
    assert [one.faster for one in plain] == [one.faster for one in scaled]
    for one, other in zip(plain, scaled, strict=True):
        assert one.ratio == pytest.approx(other.ratio)
        assert one.interval == pytest.approx(other.interval)


def test_equal_trials_without_any_noise_are_tied_and_finite() -> None:
    [one] = compare([series("a", [1.0] * 5), series("b", [1.0] * 5)])
    assert not one.decided
    assert one.ratio == 1
    assert one.interval is not None
    assert all(math.isfinite(end) for end in one.interval)


def test_variances_that_are_alike_are_pooled_and_those_that_differ_are_left() -> None:
    rng = np.random.default_rng(5)
    freedom = np.full(200, 4.0)
    alike = rng.chisquare(4, 200) / 4
    differing = alike * np.exp(rng.normal(0, 4, 200))
    pooled, more = steadied(alike, freedom, pooled_freedom=500)
    left, hardly_more = steadied(differing, freedom, pooled_freedom=500)
    assert np.std(np.log(pooled)) < 0.3 * np.std(np.log(alike))
    assert more[0] > 20
    assert hardly_more[0] < 5
    assert np.median(np.abs(np.log(left / differing))) < 0.5


def test_no_variance_claims_more_freedom_than_the_data_has() -> None:
    _, freedom = steadied(np.full(10, 0.01), np.full(10, 4.0), pooled_freedom=12)
    assert freedom.tolist() == [12.0] * 10


SMALL = Shape(cells=3, groups=3, trials=5)  # 9 comparisons
TWINS = Shape(cells=2, groups=1, trials=5)


@pytest.mark.parametrize("noise", list(Noise))
@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_equal_backends_come_out_tied(noise: Noise, sigma: float) -> None:
    false, _ = rates(SMALL, noise, sigma, slowdown=0, repeats=250)
    assert false <= FAMILY_ALPHA + 0.016  # two standard errors of 250 draws


def test_equal_backends_are_tied_in_practically_every_run_on_a_calm_machine() -> None:
    for shape in (SMALL, TWINS, Shape(cells=5, groups=1, trials=3)):
        assert rates(shape, Noise.NORMAL, 0.015, slowdown=0, repeats=300)[0] <= 0.005


@pytest.mark.parametrize(("shape", "sigma", "least"), [
    (TWINS, 0.01, 0.99), (TWINS, 0.02, 0.85), (SMALL, 0.01, 0.99), (SMALL, 0.02, 0.85),
    (Shape(cells=4, groups=16, trials=5), 0.01, 0.99),
])
def test_a_planted_slowdown_of_a_tenth_is_found(shape: Shape, sigma: float, least: float) -> None:
    false, found = rates(shape, Noise.NORMAL, sigma, slowdown=0.10, repeats=60 if shape.groups > 4 else 200)
    assert found >= least
    assert false <= FAMILY_ALPHA


def test_the_sign_of_the_decision_follows_the_planted_cell() -> None:
    logs = np.random.default_rng(0).normal(0, 0.01, (1, 3, 5))
    assert {one.faster for one in compared(logs, 0.5) if "g0c0" in (one.a, one.b)} == {"g0c1", "g0c2"}
