"""`feeding`, the option of offline: which cells it makes, and that nothing else changes."""

from __future__ import annotations

import pytest

from orchestrator.backends import Registry
from orchestrator.config.overrides import parse_only
from orchestrator.errors import ConfigError
from orchestrator.merge.estimate import group_of
from orchestrator.model import Cell
from orchestrator.plan.expand import expand
from orchestrator.plan.trials import group
from tests.config.madeup import make_registry, read

BASE = "models: [spam]\nbackends: [alpha, beta]\nscenarios: [{scenario: offline, batch: 8}]\n"
ROWS = "include: [{label: beta, scenario: offline, batch: 8, feeding: rows}]\n"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return make_registry(tmp_path_factory.mktemp("registry"))


def cells(text: str, known: Registry, *only: str) -> list[tuple[str, str]]:
    return [(cell.label, str(cell.options.get("feeding", "batch"))) for cell in expanded(text, known, *only)]


def expanded(text: str, known: Registry, *only: str) -> tuple[Cell, ...]:
    return expand(read(text, known), known, parse_only(only)).cells


def test_one_row_of_the_matrix_can_be_fed_row_by_row_beside_all_others(known: Registry) -> None:
    assert cells(BASE + ROWS, known) == [("alpha", "batch"), ("beta", "batch"), ("beta", "rows")]


def test_both_ways_for_all_and_one_taken_out_again(known: Registry) -> None:
    both = BASE.replace("batch: 8}", "batch: 8, feeding: [batch, rows]}")
    assert cells(both, known) == [("alpha", "batch"), ("alpha", "rows"), ("beta", "batch"), ("beta", "rows")]
    without = both + "exclude: [{label: alpha, feeding: rows}]\n"
    assert cells(without, known) == [("alpha", "batch"), ("beta", "batch"), ("beta", "rows")]
    assert cells(both, known, "feeding=rows") == [("alpha", "rows"), ("beta", "rows")]


def test_the_ordinary_way_is_the_same_cell_as_before_the_option_existed(known: Registry) -> None:
    said = BASE.replace("batch: 8}", "batch: 8, feeding: batch}")
    assert [cell.id for cell in expanded(said, known)] == [cell.id for cell in expanded(BASE, known)]
    assert all("options" not in cell.canonical() for cell in expanded(BASE, known))


def test_cells_fed_differently_are_neither_compared_nor_measured_in_one_process(known: Registry) -> None:
    _, whole, rows = expanded(BASE + ROWS, known)
    assert group_of(whole.canonical()) != group_of(rows.canonical())
    assert {tuple(cell.id for cell in spec.cells) for spec in group([whole, rows])} == {(whole.id,), (rows.id,)}
    assert whole.load_key != rows.load_key


def test_feeding_belongs_to_offline(known: Registry) -> None:
    with pytest.raises(ConfigError, match="single_stream has no `feeding`"):
        cells(BASE + "include: [{label: beta, scenario: single_stream, batch: 1, feeding: rows}]\n", known)
    with pytest.raises(ConfigError, match="server has no option `feeding`"):
        cells(BASE.replace("scenario: offline", "feeding: rows, scenario: server"), known)
