"""Rows that sweep settings: which rows they become, and what is said where they cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends import Registry
from orchestrator.config.overrides import parse_only
from orchestrator.model import Scalar
from orchestrator.plan.plan import make_plan
from tests.config.madeup import complaint, make_registry, read


def rows(row: str, registry: Registry) -> dict[str, dict[str, Scalar]]:
    """Label -> settings."""
    config = read(f"models: [spam]\nbackends:\n  - {row}\n", registry)
    return {found.entry.label: dict(found.entry.settings) for found in config.backends}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """For hypothesis, which runs a test many times."""
    return make_registry(tmp_path_factory.mktemp("registry"))


def test_one_at_a_time_is_the_default_and_has_the_base_row_first(registry: Registry) -> None:
    found = rows("{backend: alpha, ablate: {level: [basic, all], spin: [true, false]}}", registry)
    assert list(found) == ["alpha", "alpha[level=basic]", "alpha[spin=false]"]
    assert found["alpha"] == {"level": "all", "streams": 1, "spin": True, "scale": 0.5, "tag": None}
    assert found["alpha[level=basic]"] == {**found["alpha"], "level": "basic"}
    assert found["alpha[spin=false]"] == {**found["alpha"], "spin": False}


def test_a_grid_has_every_combination_once(registry: Registry) -> None:
    found = rows("{label: a, backend: alpha, ablate: {level: [basic, all], streams: [1, 2]}, sweep: grid}", registry)
    assert list(found) == ["a", "a[level=basic]", "a[level=basic+streams=2]", "a[streams=2]"]


def test_all_sweeps_every_declared_choice_and_switch(registry: Registry) -> None:
    assert list(rows("{backend: alpha, ablate: all}", registry)) == ["alpha", "alpha[level=basic]", "alpha[spin=false]"]


def test_the_row_s_own_settings_are_what_is_varied(registry: Registry) -> None:
    found = rows("{backend: alpha, settings: {level: basic, streams: 4}, ablate: {level: [basic, all]}}", registry)
    assert list(found) == ["alpha", "alpha[level=all]"]
    assert found["alpha[level=all]"]["streams"] == 4


def test_words_that_look_like_switches_and_nothing_are_values(registry: Registry) -> None:
    found = rows("{backend: alpha, ablate: {tag: [1.10, null, on]}}", registry)
    assert [found[label]["tag"] for label in ("alpha", "alpha[tag=1.10]", "alpha[tag=on]")] == [None, "1.10", "on"]


@pytest.mark.parametrize(("row", "said"), [
    ("{backend: alpha, ablate: {levle: [basic]}}", "matrix.yaml:3: backend `alpha` has no setting `levle`; did you mean `level`"),
    ("{backend: alpha, ablate: {level: [fast]}}", "matrix.yaml:3: setting `level` must be one of basic, all, not the text"),
    ("{backend: alpha, ablate: {streams: [x]}}", "matrix.yaml:3: setting `streams` must be a whole number, not the text `x`"),
    ("{backend: alpha, ablate: {level: basic}}", "matrix.yaml:3: `level` must be a list, not the text `basic`"),
    ("{backend: alpha, ablate: {level: []}}", "matrix.yaml:3: "),
    ("{backend: alpha, ablate: {}}", "matrix.yaml:3: `ablate` names no setting"),
    ("{backend: alpha, ablate: every}", "matrix.yaml:3: `ablate` must be `all`, or settings with lists of values"),
    ("{backend: alpha, ablate: {level: [all]}}", "matrix.yaml:3: nothing is left to sweep"),
    ("{backend: alpha, sweep: grid}", "matrix.yaml:3: `sweep` says how to `ablate`, which this row does not"),
    ("{backend: alpha, ablate: all, sweep: random}", "matrix.yaml:3: `sweep` must be one of one_at_a_time, grid"),
    ("{backend: beta, ablate: all}", "matrix.yaml:3: backend `beta` declares no setting with a choice"),
])
def test_what_cannot_be_swept_is_said_with_its_line(row: str, said: str, registry: Registry) -> None:
    assert said in complaint(f"models: [spam]\nbackends:\n  - {row}\n", registry)


def test_a_grid_that_grew_too_large_is_refused(registry: Registry) -> None:
    streams = ", ".join(map(str, range(1, 200)))
    row = f"{{backend: alpha, sweep: grid, ablate: {{streams: [{streams}], spin: [true, false]}}}}"
    text = f"models: [spam]\nbackends:\n  - {row}\n"
    assert "matrix.yaml:3: this makes 398 rows; at most 256 are allowed" in complaint(text, registry)


def test_a_file_cannot_give_a_label_with_brackets(registry: Registry) -> None:
    text = "models: [spam]\nbackends:\n  - {label: 'alpha[spin=false]', backend: alpha}\n"
    assert "label" in complaint(text, registry)


def test_rows_of_one_file_keep_their_labels_apart(registry: Registry) -> None:
    text = "models: [spam]\nbackends:\n  - {backend: alpha, ablate: all}\n  - {backend: alpha, ablate: all}\n"
    assert "matrix.yaml:4: label `alpha` is used twice, first at matrix.yaml:3" in complaint(text, registry)


def test_every_row_becomes_cells_that_can_be_chosen_by_label(registry: Registry) -> None:
    row = "{backend: alpha, ablate: {level: [basic], spin: [false]}, sweep: grid}"
    text = f"models: [spam]\nscenarios: [single_stream]\nbackends:\n  - {row}\n"
    config = read(text, registry)
    plan = make_plan(config, registry)
    assert len({cell.id for cell in plan.cells}) == len({cell.load_key for cell in plan.cells}) == 2
    chosen = make_plan(config, registry, only=parse_only(["label=alpha[level=basic+spin=false]"]))
    assert [cell.label for cell in chosen.cells] == ["alpha[level=basic+spin=false]"]


@given(st.lists(st.integers(-3, 50), min_size=1, max_size=12, unique=True), st.booleans())
def test_no_two_rows_of_an_ablation_are_the_same(shared: Registry, values: list[int], grid: bool) -> None:
    sweep = "grid" if grid else "one_at_a_time"
    streams = [1, *(value for value in values if value != 1)]
    found = rows(f"{{backend: alpha, sweep: {sweep}, ablate: {{streams: {streams}, spin: [true, false]}}}}", shared)
    distinct = {tuple(sorted((name, str(value)) for name, value in settings.items())) for settings in found.values()}
    assert len(distinct) == len(found)
    assert len(found) == (2 * len(streams) if grid else len(streams) + 1)
    assert next(iter(found)) == "alpha"
