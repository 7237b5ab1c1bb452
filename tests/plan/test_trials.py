from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import Cell, Scenario, TrialSpec
from orchestrator.plan.trials import anchors, choose_anchor, group, rounds


def cell(label: str = "a", model: str = "m", batch: int = 1, scenario: Scenario = Scenario.OFFLINE, **more: object) -> Cell:
    fields: dict[str, object] = {
        "label": label, "backend": "alpha", "settings": {"level": "all"}, "backend_version": None, "model": model,
        "host": "local", "device": "cpu", "precision": "fp32", "batch": batch, "threads": 2, "instances": 1,
        "scenario": scenario, **more,
    }
    return Cell(**fields)  # type: ignore[arg-type]


CELLS = st.lists(
    st.builds(
        cell, label=st.sampled_from(["a", "b"]), model=st.sampled_from(["m", "n", "o"]), batch=st.integers(1, 3),
        scenario=st.sampled_from(Scenario), threads=st.integers(1, 2), precision=st.sampled_from(["fp32", "fp16"]),
        settings=st.sampled_from([{"level": 1}, {"level": True}, {"level": 1.0}, {"level": "1"}, {}]),
        backend_version=st.sampled_from([None, "1.0"]),
    ),
    min_size=1, max_size=40, unique_by=lambda c: c.id,
)


@given(cells=CELLS)
def test_cells_share_a_trial_exactly_if_they_share_a_load(cells: list[Cell]) -> None:
    specs = group(cells)
    assert Counter(c.id for spec in specs for c in spec.cells) == Counter(c.id for c in cells)
    assert all(len({c.load_key for c in spec.cells}) == 1 for spec in specs)
    assert len(specs) == len({c.load_key for c in cells})
    assert len({spec.id for spec in specs}) == len(specs)


@given(cells=CELLS, seed=st.integers(0, 1000))
def test_specs_do_not_depend_on_the_order_of_cells(cells: list[Cell], seed: int) -> None:
    shuffled = list(cells)
    random.Random(seed).shuffle(shuffled)
    assert {s.id: s for s in group(cells)} == {s.id: s for s in group(shuffled)}


def test_cells_of_a_trial_go_by_scenario_then_batch() -> None:
    spec, = group([cell(batch=8), cell(batch=1), cell(batch=2), cell(scenario=Scenario.SINGLE_STREAM)])
    assert [(c.scenario.value, c.batch) for c in spec.cells] == [
        ("single_stream", 1), ("offline", 1), ("offline", 2), ("offline", 8)
    ]


def test_a_trial_s_id_is_readable_and_safe_as_a_file_s_name() -> None:
    spec, = group([cell(label="ort+x", model="net.v2")])
    assert spec.id == f"t-ort_x-net.v2-{spec.cells[0].load_key[:8]}"


@given(cells=CELLS, n_trials=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_every_round_is_a_permutation_of_all_specs(cells: list[Cell], n_trials: int, seed: int) -> None:
    specs = group(cells)
    order = rounds(specs, n_trials, seed)
    assert len(order) == n_trials
    for number, trials in enumerate(order):
        assert Counter(spec.id for spec, _ in trials) == Counter(spec.id for spec in specs)
        assert all(index == number for _, index in trials)


@given(cells=CELLS, seed=st.integers(0, 1000))
def test_the_rivals_on_a_model_run_one_after_the_other(cells: list[Cell], seed: int) -> None:
    for trials in rounds(group(cells), 3, seed):
        models = [spec.cells[0].model for spec, _ in trials]
        changes = 1 + sum(a != b for a, b in itertools.pairwise(models))
        assert changes == len(set(models))


@given(cells=CELLS, seed=st.integers(0, 1000))
def test_the_order_is_the_seed_s_and_not_the_file_s(cells: list[Cell], seed: int) -> None:
    specs = group(cells)
    assert rounds(specs, 3, seed) == rounds(specs[::-1], 3, seed)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    specs = group([cell(label=name, model=model) for name in "abcd" for model in "mno"])
    assert rounds(specs, 5, 1)[:3] == rounds(specs, 3, 1)


def test_rounds_differ_from_each_other_and_between_seeds() -> None:
    specs = group([cell(label=name, model=model) for name in "abcd" for model in "mno"])
    orders = [[spec.id for spec, _ in trials] for seed in (1, 2) for trials in rounds(specs, 4, seed)]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_over_many_rounds_every_spec_comes_first_sometimes() -> None:
    specs = group([cell(label=name, model=model) for name in "ab" for model in "mn"])
    first = Counter(trials[0][0].id for trials in rounds(specs, 400, 1))
    assert len(first) == 4
    assert min(first.values()) > 60  # 100 expected; 60 is 4.6 standard deviations away


def numbered(count: int) -> tuple[TrialSpec, ...]:
    return group([cell(label=f"l{i}") for i in range(count)])


@given(count=st.integers(1, 9), n_trials=st.integers(1, 7))
def test_the_anchor_is_measured_before_the_first_half_way_and_after_the_last(count: int, n_trials: int) -> None:
    order = rounds(numbered(count), n_trials, 1)
    spec = order[0][0][0]
    start, middle, end = anchors(order, spec)
    assert [a.at for a in (start, middle, end)] == ["start", "middle", "end"]
    before = [a.round * count + a.position for a in (start, middle, end)]
    assert before == [0, count * n_trials // 2, count * n_trials]
    assert 0 <= middle.position < count
    assert (end.round, end.position) == (n_trials - 1, count)


def test_without_trials_there_is_no_anchor() -> None:
    assert anchors([], numbered(1)[0]) == ()
    assert anchors([[]], numbered(1)[0]) == ()
    assert choose_anchor([]) is None


def test_the_anchor_is_one_cell_of_the_cheapest_model() -> None:
    specs = group([cell(model=model, batch=batch) for model in ("big", "small", "unknown") for batch in (8, 1)])
    chosen = choose_anchor(specs, {"big": 100.0, "small": 1.0})
    assert chosen is not None
    assert [(c.model, c.batch) for c in chosen.cells] == [("small", 1)]


@pytest.mark.parametrize("reverse", [False, True])
def test_the_anchor_does_not_depend_on_the_file_s_order(*, reverse: bool) -> None:
    specs = group([cell(label=name) for name in "abc"])
    chosen = choose_anchor(specs[::-1] if reverse else specs)
    assert chosen is not None
    assert chosen.id == min(spec.id for spec in specs)
