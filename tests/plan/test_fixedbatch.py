"""A model that takes one batch only, in a sweep of several."""

from __future__ import annotations

from orchestrator.backends import Registry
from orchestrator.plan.plan import make_plan
from tests.config.madeup import read

TEXT = "models: [spam]\nbackends: [beta]\nscenarios: [single_stream, offline]\nbatch: [1, 2, 4]"


def test_what_is_measured_is_not_listed_as_left_out(registry: Registry) -> None:
    plan = make_plan(read(TEXT, registry), registry, fixed_batches={"spam": 2})
    assert [(cell.scenario.value, cell.batch) for cell in plan.cells] == [("single_stream", 2), ("offline", 2)]
    assert [(left.cell.batch, left.why) for left in plan.excluded] == [
        (1, "spam takes batches of 2 only"), (4, "spam takes batches of 2 only")]


def test_where_nobody_asked_for_it_the_first_stands_for_all(registry: Registry) -> None:
    plan = make_plan(read(TEXT, registry), registry, fixed_batches={"spam": 8})
    assert [cell.batch for cell in plan.cells] == [8, 8]
    assert [left.cell.batch for left in plan.excluded] == [2, 4]
