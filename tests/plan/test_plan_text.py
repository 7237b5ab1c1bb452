from __future__ import annotations

import json

from orchestrator.backends import Registry
from orchestrator.config.overrides import parse_only
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.text import plan_json, plan_lines
from tests.config.madeup import read

TEXT = """\
name: demo
models: [spam, minilm]
backends:
  - {label: quick-alpha, backend: alpha, settings: {level: basic}, version: 1.2}
  - beta
precision: [fp32, fp16]
batch: [8]
exclude:
  - {model: minilm, precision: fp16}
  - {model: resnet50}
"""


def planned(registry: Registry, *only: str) -> Plan:
    return make_plan(read(TEXT, registry), registry, only=parse_only(only), weights={"spam": 0.0, "minilm": 1.0})


def test_the_plan_counts_what_will_run(registry: Registry) -> None:
    plan = planned(registry)
    lines = plan_lines(plan)
    assert lines[0] == "demo (matrix.yaml): profile quick, isolation auto, seed 1, minimum effect 2.0%"
    assert lines[1] == "10 cells in 5 loads, 5 trials of each + 3 of the anchor cell = 28 trials"
    assert sum(len(trials) for trials in plan.rounds) + len(plan.anchors) == plan.estimate.trials == 28


def test_the_plan_says_why_something_is_missing(registry: Registry) -> None:
    text = "\n".join(plan_lines(planned(registry)))
    assert "Unsupported, shown as such in the matrix: 2 cells" in text
    assert "  2 × Beta has no precision fp16 here (it has fp32): beta × spam, cpu fp16, single_stream batch 1" in text
    assert "Left out: 4 combinations" in text
    assert "4 × excluded at matrix.yaml:9: quick-alpha × minilm, cpu fp16, single_stream batch 1, 4 threads; " in text
    assert "Note: matrix.yaml:10: this exclude agrees with no combination" in text


def test_a_row_shows_what_sets_it_apart(registry: Registry) -> None:
    text = "\n".join(plan_lines(planned(registry)))
    assert "quick-alpha (alpha, 1.2, level=basic)" in text
    assert "single_stream batch 1; offline batch 8" in text


def test_the_estimate_states_its_assumptions(registry: Registry) -> None:
    plan = planned(registry)
    lines = plan_lines(plan)
    at = next(i for i, line in enumerate(lines) if line.startswith("Time: about "))
    assert [line.strip() for line in lines[at + 1:]] == list(plan.estimate.assumptions)


def test_what_a_filter_leaves_out_is_counted(registry: Registry) -> None:
    text = "\n".join(plan_lines(planned(registry, "backend=alpha")))
    assert "4 × left out by --only backend=alpha: beta × spam" not in text  # beta's fp16 on spam too
    assert "6 × left out by --only backend=alpha: beta × spam" in text


def test_the_anchor_is_a_cell_of_the_cheap_model(registry: Registry) -> None:
    plan = planned(registry)
    assert {anchor.spec.cells[0].model for anchor in plan.anchors} == {"spam"}
    assert {len(anchor.spec.cells) for anchor in plan.anchors} == {1}


def test_the_json_form_is_complete(registry: Registry) -> None:
    plan = planned(registry)
    value = json.loads(json.dumps(plan_json(plan), allow_nan=False))
    assert value["schema"] == "infermatrix.plan/1"
    assert [cell["id"] for cell in value["cells"]] == [cell.id for cell in plan.cells]
    assert len(value["unsupported"]) == 2
    assert {entry["why"] for entry in value["excluded"]} == {"excluded at matrix.yaml:9"}
    assert sorted(i for trial in value["trials"] for i in trial["cells"]) == sorted(cell.id for cell in plan.cells)
    assert len(value["rounds"]) == 5
    assert [anchor["at"] for anchor in value["anchors"]] == ["start", "middle", "end"]
    assert value["estimate"]["trials"] == 28


def test_long_plans_are_cut_in_the_text_only(registry: Registry) -> None:
    rows = ", ".join(f"{{label: r{i}, backend: beta}}" for i in range(150))
    plan = make_plan(read(f"models: [spam, minilm]\nbackends: [{rows}]\nscenarios: [offline]\n", registry), registry)
    lines = plan_lines(plan)
    assert len(lines) < 220
    assert "  … and 100 more (--json lists all)" in lines
    assert len(plan_json(plan)["cells"]) == 300
