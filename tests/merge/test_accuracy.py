from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merge.accuracy import NO_SET, accuracy_of, wilson
from orchestrator.merge.estimate import estimate
from orchestrator.merge.state import gate_trials
from tests.merge.fabricate import make_cell, make_record

CELL = make_cell()


def counted(index: int, correct: int, n: int = 540, **more: Any) -> dict[str, Any]:
    record = make_record(CELL, index, **more)
    record["measurement"]["accuracy"] = {"metric": "top1", "correct": correct, "n": n, "took_s": 0.1}
    return record


def test_wilson_gives_the_published_intervals() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 29 of 29.
    cases = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (29, 29): (0.8830, 1.0)}
    for (correct, n), ends in cases.items():
        assert wilson(correct, n) == pytest.approx(ends, abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_lies_around_the_share_and_within_one(case: tuple[int, int]) -> None:
    correct, n = case
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert low < high


def test_the_worst_trial_counts() -> None:
    found, why = accuracy_of([counted(0, 532), counted(1, 529), make_record(CELL, 2)])
    assert found is not None
    assert (found["correct"], found["n"], why) == (529, 540, "")
    assert found["top1"] == 529 / 540


def test_a_missing_accuracy_says_why() -> None:
    assert accuracy_of([make_record(CELL)]) == (None, NO_SET)
    record = make_record(CELL)
    record["measurement"].update(accuracy=None)
    record["measurement"]["null_reasons"]["accuracy"] = "all 9 rows would take 3 s"
    assert accuracy_of([record]) == (None, "all 9 rows would take 3 s")


@pytest.mark.parametrize("status", ["ok", "wrong_answer"])
def test_a_cell_shows_it_even_where_its_answers_are_wrong(status: str) -> None:
    records = [counted(0, 61, status=status), *(make_record(CELL, index, status=status) for index in (1, 2))]
    cell = estimate({**CELL.canonical(), "id": CELL.id}, records, gate_trials(records), asked=3).cell
    assert cell["status"] == status
    assert cell["accuracy"]["correct"] == 61
    assert "accuracy" not in cell["null_reasons"]
