from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.classify import classify
from orchestrator.model import Ending, Outcome, Status

GOOD = {"max_abs": 1e-6, "rel_l2": 1e-7, "cosine": 1.0, "nan": 0, "inf": 0, "checked": 16}


def outcome(
    *, ending: Ending = Ending.EXITED, exit_code: int | None = 0, oom_killed: bool = False, phase: str = "measure"
) -> Outcome:
    return Outcome(
        ending=ending, exit_code=exit_code, oom_killed=oom_killed, log_tail="", wall_s=1.0, started="", container_start_ms=None,
        result_file=None, events=({"t": 0.1, "phase": phase, "cell": None, "note": None},),
    )


def result(*cells: dict[str, Any], complete: bool = True, **more: Any) -> dict[str, Any]:
    return {"complete": complete, "failure": None, "cells": list(cells), **more}


def ok(name: str, **fidelity: Any) -> dict[str, Any]:
    return {"id": name, "status": "ok", "fidelity": {**GOOD, **fidelity}}


def status(found: Outcome, got: dict[str, Any] | None, problem: str | None = None) -> Status:
    return classify(["c"], found, got, problem, {})["c"].status


def test_a_complete_result_with_right_outputs_is_ok() -> None:
    assert status(outcome(), result(ok("c"))) is Status.OK


@pytest.mark.parametrize(
    ("found", "got", "problem", "expected"),
    [
        (outcome(ending=Ending.LOST, exit_code=None), None, None, Status.HOST_LOST),
        (outcome(ending=Ending.INTERRUPTED, exit_code=143), None, None, Status.INTERRUPTED),
        (outcome(ending=Ending.DEADLINE, exit_code=137), None, None, Status.TIMEOUT),
        (outcome(exit_code=137, oom_killed=True), None, None, Status.OOM),
        (outcome(exit_code=137), None, None, Status.CRASHED),
        (outcome(exit_code=139), None, None, Status.CRASHED),
        (outcome(exit_code=0), None, None, Status.CRASHED),
        (outcome(exit_code=0), None, "it is not JSON", Status.CRASHED),
    ],
)
def test_without_a_result_the_ending_decides(
    found: Outcome, got: dict[str, Any] | None, problem: str | None, expected: Status
) -> None:
    assert status(found, got, problem) is expected


def test_a_killed_child_spoils_a_trial_that_ended_well() -> None:
    assert status(outcome(oom_killed=True), result(ok("c"))) is Status.OOM


def test_what_was_finished_before_the_memory_ended_is_kept() -> None:
    verdicts = classify(["a", "b"], outcome(exit_code=137, oom_killed=True), result(ok("a"), complete=False), None, {})
    assert verdicts["a"].status is Status.OK
    assert verdicts["b"].status is Status.OOM


def test_a_fallback_is_no_answer_however_right_it_is() -> None:
    got = result(ok("c"), evidence={"fallback": "ran on CPUExecutionProvider"})
    assert status(outcome(), got) is Status.FALLBACK


@pytest.mark.parametrize("fidelity", [{"rel_l2": 0.1}, {"cosine": 0.5}, {"nan": 1}, {"inf": 2}, {"checked": 0}])
def test_outputs_that_differ_are_wrong_answers(fidelity: dict[str, Any]) -> None:
    assert status(outcome(), result(ok("c", **fidelity))) is Status.WRONG_ANSWER


@pytest.mark.parametrize(
    ("phase", "kind", "expected"),
    [
        ("load", "error", Status.COMPILE_FAILED), ("compile", "error", Status.COMPILE_FAILED),
        ("convert", "error", Status.CONVERT_FAILED), ("import", "error", Status.CRASHED),
        ("load", "unsupported", Status.UNSUPPORTED), ("load", "oom", Status.OOM), ("load", "fallback", Status.FALLBACK),
    ],
)
def test_a_failure_that_the_runner_reports_is_told_by_phase_and_kind(phase: str, kind: str, expected: Status) -> None:
    got = result(failure={"phase": phase, "kind": kind, "message": "why"}, complete=False)
    verdict = classify(["c"], outcome(exit_code=1), got, None, {})["c"]
    assert (verdict.status, verdict.reason) == (expected, "why")


def test_the_signal_is_named() -> None:
    verdict = classify(["c"], outcome(exit_code=139), None, None, {})["c"]
    assert "SIGSEGV" in (verdict.reason or "")


@given(
    ending=st.sampled_from(Ending), exit_code=st.none() | st.integers(0, 255), oom=st.booleans(), complete=st.booleans(),
    cells=st.lists(st.sampled_from(["ok", "failed", "oom", "unsupported", "skipped"]), max_size=1), problem=st.none() | st.text(),
)
def test_every_ending_gets_a_status_and_only_ok_goes_without_a_reason(
    ending: Ending, exit_code: int | None, oom: bool, complete: bool, cells: list[str], problem: str | None
) -> None:
    got = result(*({"id": "c", "status": name, "reason": "r", "fidelity": GOOD} for name in cells), complete=complete)
    verdict = classify(["c"], outcome(ending=ending, exit_code=exit_code, oom_killed=oom), got, problem, {})["c"]
    assert (verdict.status is Status.OK) == (verdict.reason is None)
    if not cells:
        assert verdict.status is not Status.OK


@pytest.mark.parametrize("got", [None, result({"id": "c", "status": "failed", "reason": "CUDA error", "phase": "measure"})])
def test_a_failure_on_a_gpu_that_is_gone_is_not_the_backend_s(got: dict[str, Any] | None) -> None:
    found = classify(["c"], outcome(exit_code=1), got, None, {}, gpu_lost="NVML: GPU is lost")["c"]
    assert (found.status, found.reason) == (Status.GPU_LOST, "NVML: GPU is lost")
    assert found.status.is_infrastructure


def test_what_was_measured_before_the_gpu_was_lost_counts() -> None:
    assert classify(["c"], outcome(), result(ok("c")), None, {}, gpu_lost="NVML: GPU is lost")["c"].status is Status.OK
