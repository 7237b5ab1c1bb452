"""Instances in a plan: every layout of the cores, each a load of its own."""

from __future__ import annotations

from orchestrator.backends import Registry
from orchestrator.plan.plan import make_plan
from orchestrator.plan.text import plan_lines
from tests.config.madeup import read

ONE = "models: [spam]\nbackends: [alpha]\n"


def layouts(registry: Registry, scenario: str) -> list[tuple[int, int]]:
    plan = make_plan(read(f"{ONE}scenarios: [{scenario}]\n", registry), registry)
    return [(cell.instances, cell.threads) for cell in plan.cells]


def test_a_bare_name_means_every_layout_of_the_cores(registry: Registry) -> None:
    assert layouts(registry, "multi_instance") == [(1, 4), (2, 2), (4, 1)]


def test_numbers_choose_layouts_and_what_does_not_divide_the_cores_is_none(registry: Registry) -> None:
    assert layouts(registry, "{scenario: multi_instance, instances: [1, 3, 4]}") == [(1, 4), (4, 1)]


def test_every_layout_is_a_load_of_its_own_that_batches_share(registry: Registry) -> None:
    plan = make_plan(read(f"{ONE}scenarios: [offline, {{scenario: multi_instance, batch: [1, 8]}}]\n", registry), registry)
    assert len(plan.cells) == 1 + 3 * 2
    assert len(plan.specs) == 1 + 3
    assert {cell.cores for cell in plan.cells} == {4}


def test_the_plan_says_how_the_cores_are_shared_out(registry: Registry) -> None:
    text = "\n".join(plan_lines(make_plan(read(f"{ONE}scenarios: [single_stream, multi_instance]\n", registry), registry)))
    for layout in ("1 × 4", "2 × 2", "4 × 1"):
        assert f"  {layout}  " in text
