"""The breakdown of a run's time: made-up records whose parts are known."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks import records
from benchmarks.breakdown import PARTS, break_down, lines

LAPS = {"create": 10.0, "remove": 5.0, "start": 70.0, "run": 2500.0, "collect": 50.0}


def two_trials() -> list[dict[str, Any]]:
    """Two trials of two cells each; the second starts 3 s after the first."""
    made = [record for record in records.records(records.cells(1)) if record["measurement"]][:2]
    found = []
    for second in (0, 3):
        for record in copy.deepcopy(made):
            record.update(started=f"2026-01-01T00:00:0{second}.000+00:00", isolation_ms=dict(LAPS))
            record["trial"].update(spec="t-x", index=second)
            record["measurement"].update(verify_ms=4.0, prepare_ms=1.0)
            found.append(record)
    return found


def test_the_parts_of_all_trials_add_up_to_the_time_between_the_first_and_the_last() -> None:
    found = break_down(two_trials())
    assert (found.trials, found.cells) == (2, 4)
    assert found.ms["between trials"] == pytest.approx(3000 - sum(LAPS.values()))
    assert found.wall_ms == pytest.approx(3000 + sum(LAPS.values()))
    phases = 21.0 + 205.1 + 31.7 + 2 * (12.1 + 210.0 + 410.0)
    assert found.own_ms == pytest.approx(2 * phases)
    assert found.ms["verify"] == pytest.approx(16.0)


def test_what_the_check_says_is_the_difference_to_the_loop() -> None:
    found = break_down(two_trials())
    wall = found.wall_ms / 1e3
    assert any("(+0.0 %)" in line for line in lines(found, wall))
    assert any("(-50.0 %)" in line for line in lines(found, 2 * wall))
    assert all(any(line.startswith(name) for line in lines(found)) for name in PARTS)


@pytest.mark.parametrize("change", [{"isolation_ms": None}, {"result": None}, {"started": None}])
def test_records_that_do_not_tell_are_left_out(change: dict[str, Any]) -> None:
    found = break_down([{**record, **change} for record in two_trials()])
    assert found.trials == 0
    assert len(lines(found)) == 1
