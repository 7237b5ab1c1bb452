from __future__ import annotations

from orchestrator.merge.matrix import merge
from orchestrator.merge.naming import names_of
from orchestrator.model import Scenario
from tests.merge.fabricate import make_cell, make_record


def named(*cells: object) -> list[str]:
    return list(names_of([{**cell.canonical(), "id": cell.id} for cell in cells]).values())  # type: ignore[attr-defined]


def test_a_name_says_only_what_tells_cells_apart() -> None:
    assert named(make_cell("ncnn")) == ["ncnn × spam, single stream"]
    assert named(make_cell("ncnn"), make_cell("ncnn", scenario=Scenario.OFFLINE, batch=8)) == [
        "ncnn × spam, single stream", "ncnn × spam, offline batch 8"]
    assert named(make_cell(threads=1), make_cell(threads=2)) == [
        "alpha × spam, single stream, 1 thread", "alpha × spam, single stream, 2 threads"]


def test_warnings_name_cells_in_words_and_failed_trials_are_counted() -> None:
    cell = make_cell("ncnn")
    found = [make_record(cell, i) for i in range(3)] + [make_record(cell, i, status="timeout", reason="late") for i in (3, 4)]
    matrix = merge({"id": "r"}, found, [cell], asked=5)
    assert "ncnn × spam, single stream: 2 of 5 trials failed (timeout: late)" in matrix["warnings"]
    assert (matrix["cells"][0]["trials"]["failed"], matrix["cells"][0]["trials"]["run"]) == (2, 5)


def test_a_random_model_is_ok_and_its_fidelity_null_with_the_reason() -> None:
    cell = make_cell()
    found = [make_record(cell, i) for i in range(3)]
    for record in found:
        record["model"]["incomparable"] = "the model is random"
        record["measurement"]["fidelity"]["rel_l2"] = 0.94
    (row,) = merge({"id": "r"}, found, [cell], asked=3)["cells"]
    assert (row["status"], row["fidelity"]) == ("ok", None)
    assert row["null_reasons"]["fidelity"] == "not comparable: the model is random"
