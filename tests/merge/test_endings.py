from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import ResultError
from orchestrator.merge.endings import cell_ending, record_status
from orchestrator.model import Status
from tests.merge.fabricate import make_cell, make_record

CELL = make_cell()


def records(*statuses: str) -> list[dict[str, Any]]:
    return [make_record(CELL, i, status=s, reason=None if s == "ok" else f"why {i}") for i, s in enumerate(statuses)]


@pytest.mark.parametrize(("statuses", "status"), [
    (["ok"] * 5, Status.OK),
    (["ok", "ok", "ok", "ok", "crashed"], Status.OK),
    (["ok", "ok", "crashed", "crashed", "crashed"], Status.CRASHED),
    (["ok", "ok", "crashed", "crashed", "oom"], Status.CRASHED),
    (["ok", "crashed"], Status.OK),
    (["oom", "crashed", "oom"], Status.OOM),
    (["ok", "ok", "ok", "ok", "wrong_answer"], Status.WRONG_ANSWER),
    (["fallback", "ok", "ok", "ok", "ok"], Status.FALLBACK),
    (["host_lost", "ok", "host_lost", "host_lost"], Status.OK),
    (["host_lost", "crashed"], Status.CRASHED),
    (["host_lost", "host_lost", "interrupted"], Status.HOST_LOST),
    (["build_failed"], Status.BUILD_FAILED),
])
def test_the_status_of_a_cell_from_its_trials(statuses: list[str], status: Status) -> None:
    ending = cell_ending(records(*statuses), invalid=[], valid=statuses.count("ok"))
    assert ending.status is status
    assert status is Status.OK or ending.reason


def test_a_failure_beside_a_good_estimate_is_a_warning_with_the_reason() -> None:
    ending = cell_ending(records("ok", "ok", "ok", "ok", "crashed"), invalid=[], valid=4)
    assert ending.warning == "1 of 5 trials failed (crashed: why 4)"
    assert ending.log_tail == "Segmentation fault"


def test_a_retry_that_worked_heals_an_infrastructure_failure_and_not_a_wrong_answer() -> None:
    lost = make_record(CELL, 0, status="host_lost")
    wrong = make_record(CELL, 0, status="wrong_answer", reason="rel_l2 too large")
    retried = make_record(CELL, 0, attempt=1)
    assert cell_ending([lost, retried], invalid=[], valid=1).status is Status.OK
    assert cell_ending([wrong, retried], invalid=[], valid=1).status is Status.WRONG_ANSWER


def test_the_last_attempt_of_a_trial_speaks_for_it() -> None:
    first, second = make_record(CELL, 0, status="crashed", reason="signal 11"), make_record(CELL, 0, attempt=1)
    healed = cell_ending([first, second], invalid=[], valid=1)
    assert (healed.status, healed.warning) == (Status.OK, None)
    later = make_record(CELL, 0, attempt=2, status="crashed", reason="signal 11")
    assert cell_ending([first, second, later], invalid=[], valid=1).status is Status.CRASHED


def test_good_trials_of_which_none_counts_are_unstable_with_the_commonest_reason() -> None:
    ending = cell_ending(records("ok", "ok", "ok"), invalid=["state changed", "foreign load", "state changed"], valid=0)
    assert ending.status is Status.UNSTABLE
    assert ending.reason == "none of its 3 trials counts: state changed"


def test_an_ok_record_is_held_against_the_tolerance_again() -> None:
    record = make_record(CELL)
    record["measurement"]["fidelity"]["rel_l2"] = 0.2
    assert record_status(record)[0] is Status.WRONG_ANSWER
    record["measurement"] = None
    assert record_status(record)[0] is Status.CRASHED


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ResultError, match="unknown status 'splendid'"):
        record_status(make_record(CELL, status="splendid"))
