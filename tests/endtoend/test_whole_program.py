"""The whole program on a real model with a real backend, in virtual environments and in containers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import docker
import pytest

from orchestrator.doctor.engine import engine_endpoint
from orchestrator.isolation.owner import LABEL
from tests.endtoend.program import Program
from tests.endtoend.relay import Relay

Make = Callable[[str, Sequence[str]], Program]
pytestmark = pytest.mark.slow
ISOLATIONS = ["venv", pytest.param("docker", marks=pytest.mark.engine)]
LABELS = ("onnxruntime", "again", "third", "fourth")
MANY = ["onnxruntime", *(f"{{label: {label}, backend: onnxruntime}}" for label in LABELS[1:])]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_right_wrong_and_fallback_are_told_apart(program: Make, isolation: str) -> None:
    it = program(isolation, ["onnxruntime", "wrong", "fallback"])
    done = it.run()
    assert done.returncode == 1, done.stderr
    assert it.statuses()["onnxruntime"] <= {"ok", "unstable"}
    assert it.statuses()["wrong"] == {"wrong_answer"}
    assert it.statuses()["fallback"] == {"fallback"}
    for cell in it.matrix()["cells"]:
        if cell["status"] != "ok":
            assert cell["reason"]
            assert not cell["best"]
    assert not [c for c in it.matrix()["comparisons"] if "wrong" in c["a"] + c["b"]]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_same_command_again_measures_nothing_and_says_so(program: Make, isolation: str) -> None:
    it = program(isolation, ["onnxruntime"])
    first = it.run()
    assert it.measured("onnxruntime"), first.stderr
    before = it.records()
    again = it.run()
    assert again.returncode == first.returncode
    assert "nothing to do" in again.stderr
    assert it.records() == before


def test_a_lost_record_is_the_only_one_measured_again(program: Make) -> None:
    it = program("venv", ["onnxruntime", "{label: again, backend: onnxruntime}"])
    it.run()
    assert it.measured("onnxruntime", "again")
    gone = next(name for name in it.records() if name.startswith("again") and ".t1." in name and ".anchor" not in name)
    (it.folder / "out" / "records" / gone).unlink()
    kept = {name: (it.folder / "out" / "records" / name).stat().st_mtime_ns for name in it.records() if ".anchor" not in name}
    it.run()
    now = {name: (it.folder / "out" / "records" / name).stat().st_mtime_ns for name in it.records() if ".anchor" not in name}
    assert {name: now.get(name) for name in kept} == kept
    assert len(now) > len(kept)


def test_a_budget_goes_where_the_ranking_is_open_and_the_same_command_again_spends_no_more(program: Make) -> None:
    slow = "{label: slow, backend: slower, settings: {percent: 400}}"
    it = program("venv", ["onnxruntime", "{label: again, backend: onnxruntime}", slow])
    first = it.run("--budget", "25s")
    matrix = it.matrix()
    assert "next: " in first.stderr, first.stderr
    assert matrix["run"]["budget"]["seconds"] == 25
    assert matrix["run"]["budget"]["spent_s"] < 40
    assert "over all looks" in matrix["run"]["comparisons"]
    numbers = [(name.split("-")[0], re.search(r"[0-9a-f]{12}\.t(\d+)\.", name)) for name in it.records() if ".anchor" not in name]
    further = Counter(label for label, found in numbers if found and int(found[1]) >= 3)  # the profile has three
    assert sum(count > 0 for count in further.values()) >= 2  # both cells of what is open
    verdicts = {frozenset((c["a"].split("-")[0], c["b"].split("-")[0])): c for c in matrix["comparisons"]}
    twins = verdicts[frozenset(("onnxruntime", "again"))]
    assert twins["verdict"] in ("tied", "open")
    assert (twins["needs"] is None) == (twins["verdict"] != "open")
    before = it.records()
    again = it.run("--budget", "25s")
    assert "nothing to do" in again.stderr
    assert it.records() == before


def _wait_for_records(it: Program, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if (it.folder / "out" / "records").is_dir() and len(it.records()) >= count:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("no records appeared")


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_is_finished_and_the_next_run_goes_on(program: Make, isolation: str, number: signal.Signals) -> None:
    it = program(isolation, MANY)
    process = it.start()
    _wait_for_records(it, process, 3)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    kept = set(it.records())
    assert kept
    assert (it.folder / "out" / "report.html").is_file()
    if isolation == "docker":
        assert _ours_alive(process.pid) == []
    it.run()
    assert kept <= set(it.records())
    assert it.measured(*LABELS)


@pytest.mark.engine
def test_after_kill_9_the_next_run_removes_the_orphans_and_goes_on(program: Make, engine: docker.DockerClient) -> None:
    it = program("docker", MANY)
    process = it.start()
    _wait_for_records(it, process, 3)
    while True:  # between two trials, or with a removal under way, nothing might be left behind
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.3)  # for what the engine was asked already
        if _ours_alive(process.pid):
            break
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[0]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    stranger = engine.containers.create(engine.images.list()[0], ["true"], labels={LABEL: "elsewhere/boot:1:1"})
    try:
        done = it.run()
        assert it.measured(*LABELS), done.stderr
        assert "removed what a dead run left" in done.stderr
        assert _ours_alive(process.pid) == []
        stranger.reload()
    finally:
        stranger.remove()


@pytest.mark.engine
def test_a_host_lost_in_mid_run_is_said_and_its_cells_are_measured_by_the_next_run(
    program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Path(engine_endpoint().host.removeprefix("unix://"))
    if not engine.is_socket():
        pytest.skip("the engine is not behind a socket on this machine")
    it = program("docker", MANY)
    relay = Relay(tmp_path / "engine.sock", engine)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", relay.host)
        process = it.start()
    _wait_for_records(it, process, 3)
    relay.cut()
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1, said
    assert set().union(*it.statuses().values()) & {"host_lost"}, said
    assert "Traceback" not in said
    assert all(cell["reason"] for cell in it.matrix()["cells"] if cell["status"] == "host_lost")
    again = it.run()
    assert it.measured(*LABELS), again.stderr
    assert _ours_alive(process.pid) == []


def test_a_second_run_on_the_host_waits_for_the_first(program: Make, tmp_path: Path) -> None:
    it = program("venv", MANY)
    first = it.start()
    _wait_for_records(it, first, 1)
    (tmp_path / "other").mkdir()
    second = subprocess.Popen(
        it.command("run", "-c", "matrix.yaml", "--out", "other", "--only", "label=again"), cwd=it.folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    first_output, _ = first.communicate(timeout=250)
    second_output, _ = second.communicate(timeout=250)
    assert it.measured(*LABELS), first_output
    assert (it.folder / "other" / "matrix.json").is_file()
    assert "waiting: another run measures on this host" in second_output


def test_interpreter_isolation_uses_the_python_that_was_named(program: Make) -> None:
    it = program("venv", ["onnxruntime"])
    it.run()
    (python,) = {image["reference"] for image in it.matrix()["images"]}
    done = it.run("--set", "isolation=interpreter", "--python", f"onnxruntime={python}/bin/python", "--out", "named")
    assert "isolation: interpreter" in done.stderr
    (record, *_) = (it.folder / "named" / "records").glob("*.json")
    assert '"isolation":"interpreter"' in record.read_text()


def _ours_alive(pid: int) -> list[str]:
    client = docker.from_env()
    try:
        found = client.containers.list(all=True, filters={"label": LABEL})
        return [one.name or "" for one in found if f":{pid}:" in one.labels.get(LABEL, "")]
    finally:
        client.close()
