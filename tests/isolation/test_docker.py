"""Every ending that a trial can have, produced for real in a container and told apart."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.classify import classify
from orchestrator.isolation.base import Stop
from orchestrator.isolation.docker import DockerIsolation
from orchestrator.isolation.owner import RUN_LABEL
from orchestrator.meters.processes import family
from orchestrator.model import Ending, Outcome, ReadyEnv, Status
from orchestrator.protocol import BadResultError, read_result
from tests.isolation.boxes import ready, request_for

pytestmark = pytest.mark.engine
Boxed = tuple[DockerIsolation, ReadyEnv]


def run(box: Boxed, fault: str, out: Path, *, deadline_s: float = 20.0, max_output_bytes: int = 8 << 20) -> Outcome:
    isolation, env = box
    return isolation.run(request_for(env, fault, out, deadline_s=deadline_s, max_output_bytes=max_output_bytes), Stop())


def verdict(outcome: Outcome) -> tuple[Status, str]:
    result, problem = None, None
    if outcome.result_file is not None:
        try:
            result = read_result(outcome.result_file, trial="t-1", task="trial")
        except BadResultError as error:
            problem = str(error)
    found = classify(["c"], outcome, result, problem, {})["c"]
    return found.status, found.reason or ""


def test_a_trial_that_ends_well_brings_its_result_and_its_events(in_container: Boxed, tmp_path: Path) -> None:
    outcome = run(in_container, "none", tmp_path)
    assert (outcome.ending, outcome.exit_code, outcome.oom_killed) == (Ending.EXITED, 0, False)
    assert outcome.result_file is not None
    result = read_result(outcome.result_file, trial="t-1", task="trial")
    assert result["environment"] == {"affinity": [0], "uid": 65532}
    assert [event["phase"] for event in outcome.events] == ["load"]
    assert outcome.container_start_ms is not None


def test_the_sandbox_holds(in_container: Boxed, tmp_path: Path) -> None:
    isolation, env = in_container
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "hello.txt").write_text("hello")
    request = request_for(env, "probe_sandbox", tmp_path, staged=(tmp_path / "staged",))
    outcome = isolation.run(request, Stop())
    assert outcome.result_file is not None, outcome.log_tail
    found = read_result(outcome.result_file, trial="t-1", task="trial")["environment"]
    assert found == {
        "uid": 65532, "affinity": [0], "root_writable": False, "interfaces": found["interfaces"], "capabilities": "0" * 16,
        "no_new_privileges": "1", "input_writable": False, "input": "hello",
    }
    assert "eth0" not in found["interfaces"]


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("oom", Status.OOM, "memory"),
        ("oom_in_child", Status.OOM, "a process inside the trial"),
        ("segfault", Status.CRASHED, "SIGSEGV"),
        ("exit_3", Status.CRASHED, "code 3"),
        ("truncated", Status.CRASHED, "not JSON"),
        ("nan", Status.CRASHED, "NaN"),
        ("infinite", Status.CRASHED, "finite"),
        ("wrong_schema", Status.CRASHED, "result cannot be used"),
        ("other_trial", Status.CRASHED, "t-forged"),
        ("deep", Status.CRASHED, "result cannot be used"),
        ("link", Status.CRASHED, "left no result"),
        ("no_result", Status.CRASHED, "left no result"),
        ("huge_output", Status.CRASHED, "refused"),
        ("huge_file", Status.CRASHED, "refused"),
    ],
)
def test_each_fault_gets_its_status_and_its_reason(
    in_container: Boxed, tmp_path: Path, fault: str, status: Status, reason: str
) -> None:
    found, why = verdict(run(in_container, fault, tmp_path))
    assert found is status
    assert reason in why


@pytest.mark.parametrize("fault", ["silent_hang", "chatty_hang", "ignores_sigterm"])
def test_a_hang_ends_at_the_deadline_whether_it_talks_or_not(in_container: Boxed, tmp_path: Path, fault: str) -> None:
    outcome = run(in_container, fault, tmp_path, deadline_s=2.0)
    assert outcome.ending is Ending.DEADLINE
    assert verdict(outcome)[0] is Status.TIMEOUT


def test_a_gigabyte_of_log_costs_neither_the_result_nor_the_disk(in_container: Boxed, tmp_path: Path) -> None:
    outcome = run(in_container, "log_1gb", tmp_path, deadline_s=120.0)
    assert outcome.result_file is not None
    assert len(outcome.log_tail) <= 4_000


def test_a_job_too_long_for_an_argument_arrives_all_the_same(in_container: Boxed, tmp_path: Path) -> None:
    isolation, env = in_container
    request = request_for(env, "none", tmp_path)
    outcome = isolation.run(replace(request, job={**request.job, "padding": "x" * 300_000}), Stop())
    assert outcome.result_file is not None, outcome.log_tail


def test_the_end_of_the_log_comes_along(in_container: Boxed, tmp_path: Path) -> None:
    assert "the reason is here" in run(in_container, "exit_3", tmp_path).log_tail


def test_a_stop_request_ends_a_trial_within_seconds(in_container: Boxed, tmp_path: Path) -> None:
    isolation, env = in_container
    stop = Stop()
    threading.Timer(1.5, stop.request, ("test",)).start()
    begin = time.monotonic()
    outcome = isolation.run(request_for(env, "silent_hang", tmp_path, deadline_s=200.0), stop)
    assert outcome.ending is Ending.INTERRUPTED
    assert time.monotonic() - begin < 60


def test_nothing_is_left_on_the_engine(
    engine: docker.DockerClient, in_container: Boxed, tmp_path: Path
) -> None:
    isolation, env = in_container
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "hello.txt").write_text("hello")
    before = {volume.name for volume in engine.volumes.list()}
    for fault in ("none", "exit_3"):
        isolation.run(request_for(env, fault, tmp_path, staged=(tmp_path / "staged",)), Stop())
    isolation._leftovers.settle()
    label = f"{RUN_LABEL}={isolation._run_id}"
    assert len(engine.containers.list(all=True, filters={"label": label})) == 1, "only what holds the network"
    isolation.close()
    assert engine.containers.list(all=True, filters={"label": label}) == []
    assert engine.volumes.list(filters={"label": label}) == []
    of_other_runs = {volume.name for volume in engine.volumes.list() if RUN_LABEL in (volume.attrs["Labels"] or {})}
    assert {volume.name for volume in engine.volumes.list()} - of_other_runs <= before


def test_what_holds_the_network_may_be_lost_between_trials(
    engine: docker.DockerClient, in_container: Boxed, tmp_path: Path
) -> None:
    isolation, _ = in_container
    assert run(in_container, "none", tmp_path / "one").ending is Ending.EXITED
    for holder in engine.containers.list(filters={"label": f"{RUN_LABEL}={isolation._run_id}"}):
        holder.kill()
    assert run(in_container, "none", tmp_path / "two").result_file is not None
    isolation.close()
    assert engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={isolation._run_id}"}) == []


def test_an_engine_that_is_gone_is_a_lost_host(faulty_image: str, tmp_path: Path) -> None:
    client = docker.DockerClient(base_url="unix:///nonexistent/docker.sock", version="1.41")
    isolation = DockerIsolation(client, "lost", lambda _envs, _say: {})
    env = ready(isolation.kind, faulty_image, "/usr/bin/python3")
    outcome = isolation.run(request_for(env, "none", tmp_path), Stop())
    assert outcome.ending is Ending.LOST
    assert verdict(outcome)[0] is Status.HOST_LOST


def test_the_trial_s_first_process_is_known_by_this_machine_s_number(in_container: Boxed, tmp_path: Path) -> None:
    isolation, env = in_container
    told: list[bool] = []
    request = request_for(env, "silent_hang", tmp_path, deadline_s=2.0, on_start=lambda pid: told.append(pid in family(pid)))
    isolation.run(request, Stop())
    assert told == [True]


def test_a_gpu_is_asked_for_by_its_uuid(in_container: Boxed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it goes without a GPU: what the engine is asked for, and that a missing GPU ends as the host's failure."""
    isolation, env = in_container
    asked: list[dict[str, Any]] = []
    api = isolation._api
    create = api.create_container

    def watched(*arguments: Any, **named: Any) -> Any:
        asked.append(named["host_config"])
        return create(*arguments, **named)

    monkeypatch.setattr(api, "create_container", watched)
    outcome = isolation.run(request_for(env, "none", tmp_path, gpu="GPU-0000"), Stop())
    assert outcome.ending is Ending.LOST  # and says what the engine said
    assert asked[-1]["DeviceRequests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": ["GPU-0000"], "Capabilities": [["gpu", "compute", "utility"]], "Options": {}}
    ]
