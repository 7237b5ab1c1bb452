"""The same endings without an engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.classify import classify
from orchestrator.isolation.base import Stop
from orchestrator.isolation.local import LocalIsolation
from orchestrator.model import Ending, IsolationKind, Outcome, ReadyEnv, Status
from orchestrator.protocol import BadResultError, read_result
from tests.isolation.boxes import ready, request_for

Boxed = tuple[LocalIsolation, ReadyEnv]


def status(outcome: Outcome) -> Status:
    result, problem = None, None
    if outcome.result_file is not None:
        try:
            result = read_result(outcome.result_file, trial="t-1", task="trial")
        except BadResultError as error:
            problem = str(error)
    return classify(["c"], outcome, result, problem, {})["c"].status


def test_a_process_gets_its_cpus_and_says_what_is_not_enforced(in_process: Boxed, tmp_path: Path) -> None:
    isolation, env = in_process
    outcome = isolation.run(request_for(env, "none", tmp_path), Stop())
    assert outcome.result_file is not None, outcome.log_tail
    assert read_result(outcome.result_file, trial="t-1", task="trial")["environment"]["affinity"] == [0]
    assert "network" in outcome.not_enforced


@pytest.mark.parametrize("gpu", ["GPU-1234", None])
def test_a_process_sees_the_gpu_that_it_was_given_and_no_other(in_process: Boxed, tmp_path: Path, gpu: str | None) -> None:
    isolation, env = in_process
    told: list[int] = []
    outcome = isolation.run(request_for(env, "shows_gpus", tmp_path, gpu=gpu, on_start=told.append), Stop())
    assert outcome.result_file is not None, outcome.log_tail
    assert read_result(outcome.result_file, trial="t-1", task="trial")["environment"] == {"visible": gpu or ""}
    assert len(told) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("oom", Status.OOM), ("segfault", Status.CRASHED), ("exit_3", Status.CRASHED), ("truncated", Status.CRASHED),
        ("nan", Status.CRASHED), ("wrong_schema", Status.CRASHED), ("link", Status.CRASHED), ("no_result", Status.CRASHED),
    ],
)
def test_each_fault_gets_its_status(in_process: Boxed, tmp_path: Path, fault: str, expected: Status) -> None:
    isolation, env = in_process
    assert status(isolation.run(request_for(env, fault, tmp_path), Stop())) is expected


@pytest.mark.parametrize("fault", ["silent_hang", "chatty_hang", "ignores_sigterm"])
def test_a_hang_ends_at_the_deadline(in_process: Boxed, tmp_path: Path, fault: str) -> None:
    isolation, env = in_process
    outcome = isolation.run(request_for(env, fault, tmp_path, deadline_s=1.0), Stop())
    assert outcome.ending is Ending.DEADLINE
    assert status(outcome) is Status.TIMEOUT


def test_what_a_trial_leaves_running_is_ended_with_it(in_process: Boxed, tmp_path: Path) -> None:
    isolation, env = in_process
    outcome = isolation.run(request_for(env, "leaves_a_child", tmp_path), Stop())
    assert outcome.exit_code == 0
    left = subprocess.run(["pgrep", "-f", "import time; time.sleep[(]600[)]"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_a_stop_request_ends_the_process(in_process: Boxed, tmp_path: Path) -> None:
    isolation, env = in_process
    stop = Stop()
    threading.Timer(0.7, stop.request, ("test",)).start()
    assert isolation.run(request_for(env, "silent_hang", tmp_path), stop).ending is Ending.INTERRUPTED


def test_the_runner_is_compiled_once_before_trials_and_a_python_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    runner = tmp_path / "run.py"
    runner.write_text("import other\n")
    (tmp_path / "other.py").write_text("X = 1\n")
    isolation = LocalIsolation(IsolationKind.VENV, runner, lambda _envs, _say: {})
    isolation.stage((), ready(IsolationKind.VENV, sys.executable, sys.executable))
    assert any(path.name.startswith("other.") for path in (tmp_path / "__pycache__").iterdir())
    missing = str(tmp_path / "no-python")
    isolation.stage((), ready(IsolationKind.VENV, missing, missing))
