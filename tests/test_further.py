from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.budget import outlook
from orchestrator.further import Further, further
from orchestrator.merge.compare import Comparison
from orchestrator.merge.costs import TrialCost
from orchestrator.merge.spending import Looks
from orchestrator.merge.verdict import Needs, Verdict
from orchestrator.model import Cell, TrialSpec
from tests.merge.fabricate import make_cell

LOOKS = Looks(first=5)
LABELS = ("a", "b", "c", "d")
BATCHES = (1, 8)
CELLS = {(label, batch): make_cell(label, batch=batch) for label in LABELS for batch in BATCHES}
SPECS = [TrialSpec(id=f"t-{label}", cells=tuple(CELLS[label, batch] for batch in BATCHES)) for label in LABELS]
COSTS = {spec.id: TrialCost(overhead_s=1.0, cells_s={cell.id: 0.5 for cell in spec.cells}) for spec in SPECS}


def pair(a: Cell, b: Cell, verdict: Verdict = Verdict.OPEN, *, trials: int = 10, at_least: bool = False, pairs: int = 5,
         rounds: int | None = None) -> Comparison:
    needs = Needs(trials=trials, seconds=1.5 * trials, at_least=at_least) if verdict is Verdict.OPEN else None
    return Comparison(
        group={}, a=a.id, b=b.id, ratio=1.01, interval=(0.98, 1.04), pairs=pairs, rounds=pairs if rounds is None else rounds,
        state="s1", verdict=verdict, needs=needs, faster=a.id if verdict is Verdict.DECIDED else None, why="",
    )


def ids(found: Further | None) -> dict[str, list[int]]:
    return {} if found is None else {spec.id: [cell.batch for cell in spec.cells] for spec in found.specs}


def test_trials_go_to_both_cells_of_what_is_open_and_to_no_others() -> None:
    a, b, c = (CELLS[label, 8] for label in "abc")
    found = further([pair(a, b), pair(a, c, Verdict.DECIDED), pair(b, c, Verdict.TIED)], SPECS, COSTS, left_s=1e3, looks=LOOKS)
    assert found is not None
    assert ids(found) == {"t-a": [1, 8], "t-b": [1, 8]}
    assert found.rounds == 2  # the next look is at seven pairs
    assert found.round_s == pytest.approx(4.0)


def test_nothing_open_nothing_to_do() -> None:
    a, b = CELLS["a", 1], CELLS["b", 1]
    assert further([pair(a, b, Verdict.TIED)], SPECS, COSTS, left_s=1e3, looks=LOOKS) is None
    assert further([], SPECS, COSTS, left_s=1e3, looks=LOOKS) is None


def test_a_trial_ends_with_the_last_cell_that_is_needed_and_keeps_those_before_it() -> None:
    found = further([pair(CELLS["a", 1], CELLS["b", 1])], SPECS, COSTS, left_s=1e3, looks=LOOKS)
    assert ids(found) == {"t-a": [1], "t-b": [1]}
    assert found is not None
    assert found.round_s == pytest.approx(3.0)


def test_what_cannot_be_settled_in_time_waits_for_what_can() -> None:
    near, far = pair(CELLS["a", 1], CELLS["b", 1], trials=8), pair(CELLS["c", 1], CELLS["d", 1], trials=400)
    found = further([far, near], SPECS, COSTS, left_s=60.0, looks=LOOKS)
    assert found is not None
    assert (found.aims, found.beyond) == ((near,), (far,))
    alone = further([far], SPECS, COSTS, left_s=60.0, looks=LOOKS)
    assert alone is not None
    assert alone.aims == (far,)  # time that is left is not thrown away


def test_a_round_shared_by_comparisons_is_paid_once() -> None:
    a, b, c = (CELLS[label, 1] for label in "abc")
    # each alone takes 10 rounds of 3 s; all three together 10 rounds of 4.5 s
    found = further([pair(a, b, trials=20), pair(a, c, trials=20), pair(b, c, trials=20)], SPECS, COSTS, left_s=46.0, looks=LOOKS)
    assert found is not None
    assert len(found.aims) == 3


def test_without_time_for_a_round_nothing_is_started_and_cheaper_pairs_still_are() -> None:
    a, b = CELLS["a", 8], CELLS["b", 8]
    assert further([pair(a, b)], SPECS, COSTS, left_s=3.9, looks=LOOKS) is None
    found = further([pair(a, b, trials=2), pair(CELLS["c", 1], CELLS["d", 1])], SPECS, COSTS, left_s=3.9, looks=LOOKS)
    assert ids(found) == {"t-c": [1], "t-d": [1]}


def test_where_rounds_gave_no_pair_more_of_them_are_planned_until_the_look() -> None:
    found = further([pair(CELLS["a", 1], CELLS["b", 1], pairs=3, rounds=6)], SPECS, COSTS, left_s=1e3, looks=LOOKS)
    assert found is not None
    assert found.rounds == 4


def test_cells_that_fail_by_now_or_have_no_known_cost_are_left_alone() -> None:
    a, b, c, d = (CELLS[label, 1] for label in LABELS)
    assert further([pair(a, b)], SPECS, COSTS, left_s=1e3, looks=LOOKS, exhausted={b.id}) is None
    known = {spec: cost for spec, cost in COSTS.items() if spec != "t-c"}
    assert ids(further([pair(a, b), pair(c, d)], SPECS, known, left_s=1e3, looks=LOOKS)) == {"t-a": [1], "t-b": [1]}


CHOICES = st.lists(
    st.tuples(st.sampled_from(sorted(CELLS)), st.sampled_from(sorted(CELLS)), st.sampled_from(list(Verdict)), st.integers(1, 300),
              st.booleans(), st.integers(0, 60)),
    max_size=12,
)


@given(CHOICES, st.floats(0, 500))
@settings(max_examples=150)
def test_every_round_pairs_what_it_aims_at_fits_the_time_and_ends_at_a_look(choices: list[tuple], left_s: float) -> None:  # type: ignore[type-arg]
    every = [pair(CELLS[one], CELLS[other], verdict, trials=trials, at_least=no_end, pairs=pairs)
             for one, other, verdict, trials, no_end, pairs in choices if one != other]
    found = further(every, SPECS, COSTS, left_s=left_s, looks=LOOKS)
    still = [one for one in every if one.verdict is Verdict.OPEN]
    if found is None:
        assert not still or left_s < 4.0  # not even the dearest pair's round
        return
    measured = {cell.id for spec in found.specs for cell in spec.cells}
    assert all({one.a, one.b} <= measured for one in found.aims)
    assert found.aims
    assert len(found.aims) + len(found.beyond) == len(still)
    assert found.rounds >= 1
    assert found.rounds * found.round_s <= left_s + 1e-9
    assert found.rounds <= max(1, min(LOOKS.after(one.pairs) - one.pairs for one in found.aims))
    for spec in found.specs:
        whole = next(other for other in SPECS if other.id == spec.id)
        assert spec.cells == whole.cells[: len(spec.cells)]
    if len({frozenset((one.a, one.b)) for one in every}) == len(every):
        assert found == further(list(reversed(every)), SPECS, COSTS, left_s=left_s, looks=LOOKS)


def test_progress_says_what_is_open_what_comes_and_how_long_it_takes() -> None:
    a, b, c, d = (CELLS[label, 1] for label in LABELS)
    every = [pair(a, b, trials=8), pair(c, d, trials=4000), pair(a, c, Verdict.DECIDED), pair(b, c, Verdict.TIED)]
    chosen = further(every, SPECS, COSTS, left_s=60.0, looks=LOOKS)
    lines = outlook(every, chosen, left_s=60.0, limit_s=600.0)
    assert lines[0] == "4 comparisons: 1 decided, 1 tied, 2 open"
    assert lines[1] == f"  open: {a.id} : {b.id} — about 8 more trials, 12 s"
    assert lines[2].endswith("about 4,000 more trials, 1 h 40 min; more than the budget")
    assert "2 × 2 trials, about 6 s; what is aimed at may be settled in 12 s; 1 probably not within the budget" in lines[3]
    assert lines[3].endswith("1 min of the budget of 10 min left")


def test_progress_says_when_all_is_settled_or_the_time_is_over() -> None:
    a, b = CELLS["a", 1], CELLS["b", 1]
    assert outlook([pair(a, b, Verdict.TIED)], None, left_s=30.0, limit_s=60.0)[-1].startswith("all settled; 30 s")
    assert outlook([pair(a, b)], None, left_s=1.0, limit_s=60.0)[-1].startswith("no time left for what is open")
    hopeless = replace(pair(a, b), needs=Needs(trials=1000, seconds=1500.0, at_least=True))
    assert "more than 1,000 more trials" in outlook([hopeless], None, left_s=1.0, limit_s=60.0)[1]
