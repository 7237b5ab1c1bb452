"""How long loads take: from records to the published file and into the estimate of a plan."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.profiles import QUICK
from orchestrator.errors import ResultError
from orchestrator.facts.seconds import FILE, Known, Took, document, load_seconds, measure
from orchestrator.model import Cell, Compiled, TrialSpec
from orchestrator.plan.cost import estimate
from tests.merge.fabricate import make_cell, make_record

CELL = make_cell(batch=1)
PROFILE = replace(QUICK, trials=5, warmup_s=0.1, min_duration_s=0.2, min_iterations=3, max_cell_s=10)


def record(cell: Cell, index: int, trial_s: float | None, *, warmup_ms: float = 100.0, measure_ms: float = 400.0,
           iterations: int = 40, anchor: bool = False) -> dict[str, Any]:
    made = make_record(cell, index)
    made["trial_s"] = trial_s
    made["trial"]["anchor"] = anchor
    made["measurement"] = {"warmup_ms": warmup_ms, "measure_ms": measure_ms, "iterations": iterations}
    return made


def seconds_of(cell: Cell, known: Known) -> float:
    return estimate([TrialSpec(id="t", cells=(cell,))], PROFILE, known=known).seconds / PROFILE.trials


def test_the_overhead_is_what_is_left_of_a_trial_without_its_loops() -> None:
    known = Known(loads=measure([record(CELL, 0, 2.5), record(CELL, 1, 3.5), record(CELL, 2, 90.0)]))
    took = known.of(CELL)
    assert took == Took(overhead_s=3.0, inference_ms=10.0)


def test_cells_of_one_trial_share_its_overhead_and_a_batch_counts_by_rows() -> None:
    larger = make_cell(batch=4)
    rows = [record(CELL, 0, 3.0), record(larger, 0, 3.0, iterations=10)]
    rows[1]["trial"] = rows[0]["trial"]
    assert Known(loads=measure(rows)).of(CELL) == Took(overhead_s=2.0, inference_ms=10.0)


def test_anchors_say_nothing_of_a_load() -> None:
    assert measure([record(CELL, 0, 2.5, anchor=True)]) == {}


def test_what_this_host_could_not_run_says_nothing_of_another() -> None:
    absent = make_record(CELL, 0)
    absent.update(trial_s=None, measurement=None, status="not_run")
    assert measure([absent]) == {}


def test_what_never_started_takes_no_time_in_a_plan() -> None:
    dead = make_record(CELL, 0)
    dead.update(trial_s=None, measurement=None)
    known = Known(loads=measure([dead]))
    assert known.of(CELL) == Took(overhead_s=0.0, inference_ms=None)
    assert seconds_of(CELL, known) == 0.0


def test_a_plan_takes_the_load_s_own_overhead_and_at_least_its_fewest_inferences() -> None:
    def known(inference_ms: float) -> Known:
        return Known(loads={load: Took(overhead_s=7.0, inference_ms=inference_ms) for load in measure([record(CELL, 0, 2.5)])})

    assert seconds_of(CELL, known(1.0)) == pytest.approx(7.0 + 0.1 + 0.2 * 1.15)
    assert seconds_of(CELL, known(1000.0)) == pytest.approx(7.0 + 1.0 + 3.0)


def test_another_model_of_the_same_row_gets_the_row_s_middle_and_other_rows_the_assumption() -> None:
    known = Known(loads={load: Took(overhead_s=7.0, inference_ms=1.0) for load in measure([record(CELL, 0, 2.5)])})
    assert known.of(replace(CELL, model="other")) == Took(overhead_s=7.0, inference_ms=None)
    assert known.of(replace(CELL, settings={"level": "basic"})) is None
    assert known.of(replace(CELL, compiled=Compiled.KEPT)) is None
    assert known.of(replace(CELL, backend="other")) is None


def test_it_is_published_and_read_again(tmp_path: Path) -> None:
    found = measure([record(CELL, 0, 2.5), record(replace(CELL, compiled=Compiled.KEPT), 0, 1.5)])
    whole = document(found, command="c", day=date(2026, 11, 22), machine="m")
    (tmp_path / FILE).write_text(json.dumps(whole))
    assert load_seconds(tmp_path).loads == found
    assert load_seconds(tmp_path / "nowhere").loads == {}


@pytest.mark.parametrize("loads", [[{}], [{"backend": "a"}], 3, [None]])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, loads: Any) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema": "infermatrix.seconds/1", "loads": loads}))
    with pytest.raises(ResultError, match=r"seconds\.json"):
        load_seconds(tmp_path)
