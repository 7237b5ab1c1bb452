"""Several instances on the trial's CPUs: the real runner, with adapters that behave and adapters that do not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two instances need two CPUs")
TWO = {"instances": 2, "threads": 1}


def cell(trial: Any, **changes: Any) -> dict[str, Any]:
    usual = {"min_duration_s": 0.2, "max_cell_s": 5, "max_iterations": 100_000}
    return dict(trial.cell(scenario="multi_instance", **{**usual, **changes}))


def test_all_instances_measure_in_one_window_on_cpus_of_their_own(trial: Any, samples_of: Callable[[Any], np.ndarray]) -> None:
    result = trial.run(cells=[cell(trial)], probe={"enabled": True}, **TWO)
    read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["one"])
    assert result["complete"] is True
    (found,) = result["cells"]
    assert found["status"] == "ok", found["reason"]
    details, samples = found["details"], samples_of(found["samples"])
    assert set(details["instance"]) == {"1", "2"}
    assert len(samples) == found["iterations"]
    own = [one["throughput_ips"] for one in details["instance"].values()]
    assert found["throughput_ips"] == pytest.approx(sum(own))
    assert found["headline_ms"] == pytest.approx(1e3 / found["throughput_ips"])
    # what the window holds is what was counted, give or take the inferences at its edges
    assert found["throughput_ips"] * details["window_ms"] / 1e3 == pytest.approx(found["iterations"], abs=4)
    assert 0.9 * 200 < details["window_ms"] < 5_000
    assert found["fidelity"]["checked"] == 16
    assert found["fidelity"]["rel_l2"] < 1e-6
    assert found["memory"]["process_peak_mb"] > 10

    one, two = result["environment"]["instances"]
    assert len(one["affinity"]) == len(two["affinity"]) == 1
    assert one["affinity"] != two["affinity"]
    assert {one["thread_variables"]["OMP_NUM_THREADS"], two["thread_variables"]["OMP_NUM_THREADS"]} == {"1"}
    assert len(result["probes"]["start"]["cpus"]) == 2
    assert result["evidence"]["executed_on"] == ["numpy"]
    assert result["versions"]["planted"] == "1.0"
    assert result["phases"]["load_ms"] > 0


def test_every_null_has_a_reason_with_instances_too(trial: Any) -> None:
    result = trial.run(cells=[cell(trial)], **TWO)
    (found,) = result["cells"]
    missing = [name for name, value in found.items() if value is None and name not in ("reason", "phase")]
    missing += [f"memory.{name}" for name, value in found["memory"].items() if value is None]
    assert set(missing) <= set(found["null_reasons"])
    assert {f"phases.{name}" for name, value in result["phases"].items() if value is None} <= set(result["null_reasons"])


def test_a_sweep_over_batches_measures_each_with_fresh_instances(trial: Any) -> None:
    result = trial.run(cells=[cell(trial, name="a"), cell(trial, name="b", batch=8)], **TWO)
    assert [found["status"] for found in result["cells"]] == ["ok", "ok"]
    assert result["cells"][1]["throughput_ips"] > result["cells"][0]["throughput_ips"]


def test_an_instance_that_is_slower_is_seen_and_waited_for(trial: Any) -> None:
    (found,) = trial.run(cells=[cell(trial, min_duration_s=0.05)], fault="slow@2", **TWO)["cells"]
    assert found["status"] == "ok", found["reason"]
    own = found["details"]["instance"]
    assert own["2"]["p50_ms"] > 2 > own["1"]["p50_ms"]
    assert found["details"]["slowest_p50_ms"] == own["2"]["p50_ms"]
    assert found["details"]["fastest_p50_ms"] == own["1"]["p50_ms"]


@pytest.mark.parametrize(
    ("fault", "status", "phase", "word"),
    [
        ("raises@2", "failed", "warmup", "kernel launch failed"),
        ("crash@2", "failed", "warmup", "SIGKILL"),
        ("memory@2", "oom", "warmup", "MemoryError"),
        ("unsupported@1", "unsupported", "warmup", "batch 8 is not supported"),
        ("load_crash@2", "failed", "load", "SIGSEGV"),
        ("sleeps@2", "skipped", "warmup", "one inference takes"),
        ("hangs@2", "skipped", "warmup", "not ready in time"),
        ("hangs_later@2", "skipped", "measure", "did not end its measuring"),
        ("crash_later@1", "failed", "measure", "SIGKILL"),
    ],
)
def test_one_bad_instance_is_the_cells_status_and_is_named(trial: Any, fault: str, status: str, phase: str, word: str) -> None:
    began = time.monotonic()
    # one that is too slow needs time to find out, before the other one's patience is at its end
    limits = {"max_cell_s": 2.0, "min_iterations": 20} if fault.startswith("sleeps") else {"max_cell_s": 0.5}
    result = trial.run(cells=[cell(trial, batch=8, **limits)], fault=fault, **TWO)
    (found,) = result["cells"]
    assert (found["status"], found["phase"]) == (status, phase), found["reason"]
    assert f"instance {fault[-1]} of 2" in found["reason"]
    assert word in found["reason"]
    assert found["samples"] is None
    assert result["complete"] is True
    assert time.monotonic() - began < 40
    assert _alive(trial.folder) == []


@pytest.mark.parametrize(
    ("fault", "phase", "kind"),
    [("load_raises@2", "load", "error"), ("load_unsupported@1", "load", "unsupported"), ("fallback@2", "verify", "fallback"),
     ("load_memory@2", "load", "oom")],
)
def test_an_instance_that_fails_before_its_cell_fails_the_trial(trial: Any, fault: str, phase: str, kind: str) -> None:
    result = trial.run(cells=[cell(trial)], fault=fault, **TWO)
    assert (result["failure"]["phase"], result["failure"]["kind"]) == (phase, kind)
    assert result["failure"]["message"].startswith(f"instance {fault[-1]} of 2: ")


def test_the_wrong_answer_of_one_instance_is_the_cells(trial: Any) -> None:
    (found,) = trial.run(cells=[cell(trial)], fault="wrong@2", **TWO)["cells"]
    assert found["fidelity"]["rel_l2"] > 0.04


def test_too_few_cpus_are_said(trial: Any) -> None:
    (found,) = trial.run(cells=[cell(trial)], instances=512, threads=2)["cells"]
    assert found["status"] == "failed"
    assert "512 × 2 threads need 1024" in found["reason"]


def test_where_memory_ends_larger_batches_are_not_tried_by_instances_either(trial: Any) -> None:
    cells = [cell(trial, name=f"b{batch}", batch=batch) for batch in (1, 8, 16)]
    result = trial.run(cells=cells, fault="memory", **TWO)
    assert [found["status"] for found in result["cells"]] == ["ok", "oom", "oom"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_instances_end_with_the_process_that_started_them(trial: Any, number: signal.Signals) -> None:
    trial.write(cells=[cell(trial, min_duration_s=30, max_cell_s=60)], **TWO)
    process = subprocess.Popen(trial.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while "measure" not in _phases(trial) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(_alive(trial.folder)) == 2
    process.send_signal(number)
    process.wait(timeout=20)
    deadline = time.monotonic() + 10
    while _alive(trial.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _alive(trial.folder) == []
    if number is signal.SIGTERM:
        assert process.returncode == 143
        assert trial.result()["failure"]["message"] == "stopped by SIGTERM"


def test_runs_on_the_oldest_and_the_newest_python_with_instances(other_trial: Any) -> None:
    (found,) = other_trial.run(cells=[cell(other_trial)], **TWO)["cells"]
    assert found["status"] == "ok", found["reason"]


def _phases(trial: Any) -> list[str]:
    try:
        return [event["phase"] for event in trial.events()]
    except (OSError, ValueError):
        return []


def _alive(folder: Path) -> list[int]:
    """Processes whose job says that they are instances of this test's trial."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            jobs = [Path(os.fsdecode(word)) for word in words if word.endswith(b".json") and b"infermatrix-instances-" in word]
            if any(str(folder) in job.read_text() for job in jobs):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
