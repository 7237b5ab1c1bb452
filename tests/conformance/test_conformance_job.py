"""The runner's job over tests that crash, hang, lie and eat: each gets its word, and none takes another with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.protocol import read_outcomes, read_result
from tests.conformance.planted_suite import ADAPTER, name_of, write_suite

RUNNER = Path(__file__).parents[2] / "runners" / "run.py"
EXPECTED = {
    "right": "passed", "segfault": "crashed", "wrong": "failed", "shape": "failed", "type": "failed", "list": "failed",
    "changes_its_input": "failed", "unsupported": "unsupported", "falls_back": "fallback", "elsewhere": "fallback",
    "reference": "fallback", "only_once": "passed", "exits": "failed", "mute": "passed", "last": "passed",
}


def write_job(folder: Path, faults: Sequence[str], **changes: Any) -> list[str]:
    suite = write_suite(folder / "suite", faults)
    job = {
        "protocol": "infermatrix.job/1", "task": "conformance", "trial": "t-1", "stage": "run", "adapter": "misbehaving",
        "adapter_file": str(ADAPTER), "settings": {}, "output": "made", "precision": "fp32", "device": "cpu", "threads": 1,
        "suite": str(suite),
        "tests": [name_of(fault) for fault in faults], "test_s": 30, "import_s": 60, "memory_mb": 1024, **changes,
    }
    (folder / "job.json").write_text(json.dumps(job))
    return [sys.executable, str(RUNNER), "--job", str(folder / "job.json"), "--out", str(folder / "out")]


def outcomes(folder: Path, faults: Sequence[str]) -> dict[str, Any]:
    """By fault, as the orchestrator believes them."""
    found = read_outcomes(folder / "out" / "outcomes.jsonl", tests=[name_of(fault) for fault in faults])
    return {name.removeprefix("node/test_"): outcome for name, outcome in found.items()}


def run(folder: Path, faults: Sequence[str], **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    done = subprocess.run(write_job(folder, faults, **changes), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    result = read_result(folder / "out" / "result.json", trial="t-1", task="conformance")
    return outcomes(folder, faults) if (folder / "out" / "outcomes.jsonl").exists() else {}, result


def test_every_ending_gets_its_word_and_no_test_is_lost(tmp_path: Path) -> None:
    found, result = run(tmp_path, list(EXPECTED))
    assert {name: outcome["status"] for name, outcome in found.items()} == EXPECTED
    assert result["conformance"]["asked"] == len(EXPECTED)
    assert result["versions"] == {"planted": "1.2.3"}
    assert "SIGSEGV" in found["segfault"]["reason"]
    assert "something is wrong in the library" in found["segfault"]["reason"]
    assert found["segfault"]["phase"] == "load"


def test_reasons_say_what_differs(tmp_path: Path) -> None:
    found, _ = run(tmp_path, ["wrong", "shape", "type", "changes_its_input", "reference"])
    reasons = {name: outcome["reason"] for name, outcome in found.items()}
    assert reasons["wrong"].startswith("output y: 6 of 6 values differ by more than the test allows, the first is -1.99 instead")
    assert reasons["shape"] == "output y: shape [6, 1] instead of [6]"
    assert reasons["type"] == "output y: type float64 instead of float32"
    assert reasons["changes_its_input"] == "its input was changed"
    assert "reference implementation: Odd" in reasons["reference"]


def test_a_pass_without_evidence_is_not_called_native(tmp_path: Path) -> None:
    found, _ = run(tmp_path, ["right", "mute"])
    assert found["right"]["native"] is True
    assert found["mute"]["native"] is None


def test_a_test_that_hangs_is_ended_at_its_limit_and_the_next_one_runs(tmp_path: Path) -> None:
    found, _ = run(tmp_path, ["hangs", "right"], test_s=1)
    assert found["hangs"]["status"] == "timed_out"
    assert found["hangs"]["phase"] == "predict"
    assert found["right"]["status"] == "passed"


def test_a_test_that_takes_too_much_memory_is_ended_before_it_has_it(tmp_path: Path) -> None:
    found, _ = run(tmp_path, ["right", "eats", "last"], memory_mb=600)
    assert [found[name]["status"] for name in ("right", "eats", "last")] == ["passed", "out_of_memory", "passed"]


def test_what_fails_for_the_sake_of_earlier_tests_passes_in_a_process_of_its_own(tmp_path: Path) -> None:
    """A library that can be set up once per process must not fail all tests but the first."""
    faults = ["right", "only_once"]
    found, result = run(tmp_path, faults)
    assert found["only_once"]["status"] == "passed"
    assert result["conformance"]["again"] == 1


def test_a_machine_s_paths_are_in_no_reason(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    found, _ = run(folder, ["right"], suite=str(write_suite(tmp_path / "own", ["right"])), made={
        name_of("right"): {"format": "made", "file": "gone.made"}}, artifacts=str(tmp_path / "artifacts"))
    assert found["right"]["status"] == "failed"
    assert str(tmp_path) not in found["right"]["reason"]


def test_what_was_found_out_is_kept_when_the_job_is_ended(tmp_path: Path) -> None:
    faults = ["right", "hangs", "last"]
    with subprocess.Popen(write_job(tmp_path, faults, test_s=300), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        file = tmp_path / "out" / "outcomes.jsonl"
        deadline = time.monotonic() + 60
        while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(outcomes(tmp_path, faults)) == ["right"]
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def children_of(pid: int) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def test_a_backend_that_cannot_be_imported_is_a_failure_of_the_job(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import a_library_that_is_not_there")
    found, result = run(tmp_path, ["right"], adapter_file=str(broken))
    assert not found
    assert result["failure"]["phase"] == "import"
    assert "a_library_that_is_not_there" in result["failure"]["message"]


def test_conversions_come_first_and_what_they_made_is_loaded(tmp_path: Path) -> None:
    faults = ["right", "inconvertible", "converter_dies", "converter_lies", "wrong"]
    converted, _ = run(tmp_path, faults, stage="convert")
    assert {name: one["status"] for name, one in converted.items()} == {
        "right": "passed", "inconvertible": "unsupported", "converter_dies": "crashed", "converter_lies": "failed",
        "wrong": "passed"}
    made = {name_of(name): one["artifact"] for name, one in converted.items() if one["status"] == "passed"}
    assert made[name_of("right")] == {"format": "made", "file": "model.made"}
    second = tmp_path / "second"
    second.mkdir()
    artifacts = tmp_path / "out" / "artifact"
    assert sorted(path.name for path in artifacts.iterdir()) == ["node.test_right", "node.test_wrong"]
    found, _ = run(second, ["right", "wrong"], made=made, artifacts=str(artifacts))
    assert {name: one["status"] for name, one in found.items()} == {"right": "passed", "wrong": "failed"}


@pytest.mark.parametrize("missing", ["suite", "test_s", "threads", "tests", "output"])
def test_a_job_that_lacks_something_is_refused_with_its_name(tmp_path: Path, missing: str) -> None:
    command = write_job(tmp_path, ["right"])
    job = json.loads((tmp_path / "job.json").read_text())
    del job[missing]
    job["stage"] = "convert"
    (tmp_path / "job.json").write_text(json.dumps(job))
    subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert missing in json.loads((tmp_path / "out" / "result.json").read_text())["failure"]["message"]
