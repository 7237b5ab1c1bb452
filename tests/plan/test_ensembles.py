"""Ensembles in a plan: once, not per model; named after their members, which need not be on the axis."""

from __future__ import annotations

import pytest

from orchestrator.backends import Registry
from orchestrator.plan.plan import make_plan
from tests.config.madeup import complaint, read

AXES = "models: [spam]\nbackends: [alpha, beta]\n"


def ensemble(rest: str = "members: [resnet50, spam]") -> str:
    return f"{AXES}scenarios: [single_stream, {{scenario: ensemble, {rest}}}]\n"


def test_an_ensemble_comes_once_for_each_layout_and_backend(registry: Registry) -> None:
    plan = make_plan(read(ensemble(), registry), registry)
    found = [cell for cell in plan.cells if cell.scenario.value == "ensemble"]
    assert [(cell.label, cell.options["layout"]) for cell in found] == [
        ("alpha", "one_process"), ("alpha", "processes"), ("beta", "one_process"), ("beta", "processes")]
    assert {cell.model for cell in found} == {"resnet50+spam"}
    assert {cell.members for cell in found} == {("resnet50", "spam")}
    assert {cell.members for cell in plan.cells if cell not in found} == {("spam",)}
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)


def test_each_layout_is_a_load_of_its_own(registry: Registry) -> None:
    plan = make_plan(read(ensemble("members: [resnet50, spam], batch: [1, 8]"), registry), registry)
    assert len([spec for spec in plan.specs if spec.cells[0].members == ("resnet50", "spam")]) == 4
    assert {len(spec.cells) for spec in plan.specs} == {1, 2}


def test_members_that_no_axis_names_are_models_of_the_run(registry: Registry) -> None:
    config = read(ensemble(), registry)
    assert [entry.name for entry in config.models] == ["spam"]
    assert [entry.name for entry in config.extra_models] == ["resnet50"]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("members: [resnet5, spam]", "`resnet5` is neither a built-in model nor a name under `models`; did you mean `resnet50`?"),
        ("members: [a+b, spam]", "`a+b` cannot be a member"),
        ("layout: processes", "an ensemble needs `members`"),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused_in_one_sentence(registry: Registry, rest: str, said: str) -> None:
    assert said in complaint(ensemble(rest), registry)
