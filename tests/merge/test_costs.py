from __future__ import annotations

import pytest

from orchestrator.merge.costs import cell_costs, spent_s, trial_costs
from tests.merge.fabricate import make_cell, make_record

SMALL, LARGE = make_cell("a", batch=1), make_cell("a", batch=32)


def record(of: object, index: int, wall_s: float, own_ms: float, *, anchor: bool = False, **more: object) -> dict[str, object]:
    made = make_record(of, index, wall_s=wall_s, **more)  # type: ignore[arg-type]
    made["trial"] = {**made["trial"], "spec": "t-a", "anchor": anchor}
    if made["measurement"] is not None:
        made["measurement"] = {**made["measurement"], "first_inference_ms": 0.0, "warmup_ms": 100.0, "measure_ms": own_ms - 100.0}
    return made


def test_a_trial_costs_its_overhead_and_the_cells_up_to_the_last_one() -> None:
    records = [record(cell, i, 3.0, own) for i in range(3) for cell, own in ((LARGE, 1000.0), (SMALL, 500.0))]
    [cost] = trial_costs(records).values()
    assert cost.overhead_s == pytest.approx(1.5)
    assert list(cost.cells_s) == [SMALL.id, LARGE.id]  # as the trial measures them
    assert (cost.up_to(SMALL.id), cost.up_to(LARGE.id)) == pytest.approx((2.0, 3.0))
    assert cell_costs({"t-a": cost}) == pytest.approx({SMALL.id: 2.0, LARGE.id: 3.0})


def test_trials_without_a_measurement_and_anchors_say_nothing_of_the_cost() -> None:
    assert trial_costs([record(SMALL, 0, 3.0, 500.0, anchor=True), record(SMALL, 1, 9.0, 500.0, status="crashed")]) == {}


def test_a_budget_pays_for_every_trial_once_and_for_those_that_failed() -> None:
    records = [record(cell, 0, 3.0, 500.0) for cell in (SMALL, LARGE)]
    assert spent_s(records) == 3.0
    assert spent_s([*records, record(SMALL, 1, 2.0, 500.0, status="crashed"), record(SMALL, 0, 1.5, 500.0, anchor=True)]) == 6.5
    assert spent_s([make_record(SMALL, wall_s=None, status="build_failed")]) == 0
