from __future__ import annotations

import pytest

from orchestrator.backends import Registry
from orchestrator.errors import ConfigError
from orchestrator.model import Compiled
from orchestrator.plan.expand import expand
from orchestrator.plan.plan import make_plan
from orchestrator.plan.text import plan_lines
from tests.config.madeup import read

ROWS = "models: [spam]\nbackends:\n  - alpha\n  - {label: ahead, backend: alpha, compiled: kept}\n"


def test_a_row_that_takes_what_was_compiled_before_is_another_cell_and_is_shown_as_such(registry: Registry) -> None:
    plan = make_plan(read(ROWS, registry), registry, only=None, weights={})
    fresh, kept = (next(cell for cell in plan.cells if cell.label == label) for label in ("alpha", "ahead"))
    assert (fresh.compiled, kept.compiled) == (Compiled.FRESH, Compiled.KEPT)
    assert "compiled" not in fresh.canonical()
    assert kept.canonical()["compiled"] == "kept"
    assert "ahead (alpha, compiled kept)" in "\n".join(plan_lines(plan))


def test_the_same_row_with_and_without_is_two_cells(registry: Registry) -> None:
    def ids(word: str) -> set[str]:
        config = read(f"models: [spam]\nbackends: [{{backend: alpha, compiled: {word}}}]\n", registry)
        return {cell.id for cell in expand(config, registry).cells}

    assert not ids("kept") & ids("fresh")


@pytest.mark.parametrize(("scenarios", "word"), [
    ("[cold_start]", "cold_start"), ("[{scenario: multi_instance, instances: [2]}]", "2 instances")])
def test_scenarios_that_load_for_themselves_do_not_take_it(registry: Registry, scenarios: str, word: str) -> None:
    expansion = expand(read(f"{ROWS}scenarios: {scenarios}\nthreads: [2]\n", registry), registry)
    assert {cell.label for cell in expansion.cells} == {"alpha"}
    assert {(one.cell.label, word in one.reason) for one in expansion.unsupported} == {("ahead", True)}


def test_another_word_names_those_that_there_are(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        read("models: [spam]\nbackends: [{backend: alpha, compiled: warm}]\n", registry)
    assert "fresh" in str(caught.value)
    assert "kept" in str(caught.value)
