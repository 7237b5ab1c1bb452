"""The real runner, as a process, with good and bad adapters: what its result and its exit code say."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result


def test_measures_every_cell_and_says_what_it_did(trial: Any, samples_of: Callable[[Any], np.ndarray]) -> None:
    cells = [trial.cell("a"), trial.cell("b", scenario="offline", batch=8), trial.cell("c", scenario="offline", batch=40)]
    result = trial.run(cells=cells, probe={"enabled": True}, threads=2)

    read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["a", "b", "c"])
    assert result["complete"] is True
    assert result["failure"] is None
    for cell in result["cells"]:
        samples = samples_of(cell["samples"])
        assert cell["status"] == "ok", cell
        assert len(samples) == cell["iterations"] == cell["samples"]["count"]
        assert samples.min() > 0
        assert samples.sum() / 1e9 <= cell["wall_s"]
        assert cell["fidelity"]["checked"] == 16
        assert cell["fidelity"]["rel_l2"] < 1e-6
        assert cell["fidelity"]["topk_agreement"] == 1.0
        assert cell["threads_seen"] >= 1
        assert cell["memory"]["process_peak_mb"] > 5
    assert {"numpy", "python", "planted"} <= set(result["versions"])
    assert result["environment"]["thread_variables"]["OMP_NUM_THREADS"] == "2"
    phases = result["phases"]
    assert phases["compile_ms"] is None
    assert "phases.compile_ms" in result["null_reasons"]
    assert 0 < phases["import_ms"] + phases["load_ms"] < phases["total_ms"]
    for reading in result["probes"].values():  # on a very busy machine a probe is null, and says so
        assert reading["compute_ms"] or "compute_ms" in reading["null_reasons"]


def test_every_null_has_a_reason(trial: Any) -> None:
    result = trial.run()
    (cell,) = result["cells"]
    missing = [name for name, value in cell.items() if value is None and name not in ("reason", "phase")]
    missing += [f"memory.{name}" for name, value in cell["memory"].items() if value is None]
    missing += [f"fidelity.{name}" for name, value in cell["fidelity"].items() if value is None and name != "problem"]
    assert set(missing) <= set(cell["null_reasons"])
    top = [f"phases.{name}" for name, value in result["phases"].items() if value is None]
    top += [f"environment.{name}" for name, value in result["environment"].items() if value is None]
    assert set(top) <= set(result["null_reasons"])
    assert set(result["probes"]["start"]["null_reasons"]) == {
        name for name, value in result["probes"]["start"].items() if value is None}


def test_events_tell_the_phases_in_order(trial: Any) -> None:
    trial.run()
    events = trial.events()
    assert [event["phase"] for event in events] == [
        "start", "import", "load", "compile", "warmup", "measure", "verify", "verify"]
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert [event["cell"] for event in events[4:7]] == ["one"] * 3


def test_a_compile_of_its_own_is_timed(trial: Any) -> None:
    result = trial.run(fault="compiles")
    assert result["phases"]["compile_ms"] >= 0
    assert "phases.compile_ms" not in result["null_reasons"]


@pytest.mark.parametrize(
    ("fault", "phase", "kind", "word"),
    [
        ("load_raises", "load", "error", "not of this world"),
        ("load_memory", "load", "oom", "MemoryError"),
        ("load_unsupported", "load", "unsupported", "operator Foo"),
        ("compile_raises", "compile", "error", "(1, 200)"),
        ("fallback", "verify", "fallback", "reference kernels"),
        ("runs_elsewhere", "verify", "fallback", "the CPU took over"),
    ],
)
def test_a_trial_that_fails_before_its_cells_says_where_and_why(trial: Any, fault: str, phase: str, kind: str, word: str) -> None:
    result = trial.run(fault=fault)
    assert result["complete"] is True
    assert result["cells"] == []
    assert (result["failure"]["phase"], result["failure"]["kind"]) == (phase, kind)
    assert word in result["failure"]["message"]


@pytest.mark.parametrize(
    ("fault", "status", "phase", "word"),
    [
        ("raises", "failed", "warmup", "RuntimeError: kernel launch failed"),
        ("unsupported", "unsupported", "warmup", "batch 1 is not supported"),
        ("not_array", "failed", "warmup", "output 0 is list"),
    ],
)
def test_a_cell_that_fails_says_where_and_why(trial: Any, fault: str, status: str, phase: str, word: str) -> None:
    (cell,) = trial.run(fault=fault)["cells"]
    assert (cell["status"], cell["phase"]) == (status, phase)
    assert word in cell["reason"]
    assert cell["samples"] is None
    assert "samples" in cell["null_reasons"]


@pytest.mark.parametrize("fault", ["bad_alloc", "memory"])
def test_where_memory_ends_the_larger_batches_are_not_tried(trial: Any, fault: str) -> None:
    cells = [trial.cell(f"b{batch}", scenario="offline", batch=batch) for batch in (1, 4, 8, 16)]
    result = trial.run(fault=fault, cells=cells)
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok", "oom", "oom"]
    assert "batch 8" in result["cells"][3]["reason"]


def test_a_cell_too_slow_for_its_limit_is_skipped_and_so_are_larger_ones(trial: Any) -> None:
    cells = [trial.cell(f"b{batch}", scenario="offline", batch=batch, max_cell_s=0.1) for batch in (1, 16, 64)]
    result = trial.run(fault="slow", cells=cells)
    assert [cell["status"] for cell in result["cells"]] == ["ok", "skipped", "skipped"]
    assert "one inference takes" in result["cells"][1]["reason"]
    assert "batch 16" in result["cells"][2]["reason"]


@pytest.mark.parametrize("fault", ["wrong", "wrong_last_row", "stale"])
def test_a_wrong_answer_shows_in_the_fidelity(trial: Any, fault: str) -> None:
    (cell,) = trial.run(fault=fault)["cells"]
    assert cell["status"] == "ok"
    assert cell["fidelity"]["rel_l2"] > 0.04


def test_one_wrong_row_of_a_large_batch_shows(trial: Any) -> None:
    (cell,) = trial.run(fault="wrong_last_row", cells=[trial.cell(batch=256)])["cells"]
    assert cell["fidelity"]["rel_l2"] > 0.04


def test_nan_is_counted_and_never_written(trial: Any) -> None:
    (cell,) = trial.run(fault="nan")["cells"]
    assert cell["fidelity"]["nan"] == 16


@pytest.mark.parametrize(("fault", "word"), [("shape", "shape [1, 4, 1]"), ("too_many", "2 outputs where the model has 1")])
def test_outputs_of_another_shape_are_not_compared(trial: Any, fault: str, word: str) -> None:
    (cell,) = trial.run(fault=fault)["cells"]
    assert cell["fidelity"]["checked"] == 0
    assert word in cell["fidelity"]["problem"]
    assert cell["fidelity"]["rel_l2"] is None


def test_a_reused_output_buffer_is_noticed_and_not_held_against_the_backend(trial: Any) -> None:
    result = trial.run(fault="reuses", cells=[trial.cell("a"), trial.cell("b", batch=8)])
    assert [cell["output_buffers"] for cell in result["cells"]] == ["reused", "reused"]
    assert all(cell["fidelity"]["rel_l2"] < 1e-6 and cell["fidelity"]["checked"] == 16 for cell in result["cells"])
    assert result["evidence"]["detail"]["output_buffers"] == "reused"


def test_evidence_is_made_plain(trial: Any) -> None:
    detail = trial.run()["evidence"]["detail"]
    assert detail["nan"] is None
    assert detail["kernel"] == 1.5
    assert "c_int" in detail["object"]


def test_missing_evidence_loses_no_measurement(trial: Any) -> None:
    result = trial.run(fault="evidence_raises")
    assert result["cells"][0]["status"] == "ok"
    assert result["evidence"] is None
    assert "no evidence" in result["null_reasons"]["evidence"]


def test_memory_that_inference_takes_shows_as_delta(trial: Any) -> None:
    (plain,) = trial.run()["cells"]
    (grown,) = trial.run(fault="grows")["cells"]
    if plain["memory"]["delta_mb"] is None:
        pytest.skip(plain["null_reasons"]["memory.delta_mb"])
    assert 60 < grown["memory"]["delta_mb"] - plain["memory"]["delta_mb"] < 140
    assert grown["memory"]["baseline_mb"] == pytest.approx(plain["memory"]["baseline_mb"], abs=16)


def test_a_killed_trial_keeps_its_finished_cells(trial: Any) -> None:
    trial.write(fault="crash", cells=[trial.cell("a"), trial.cell("b", batch=8)])
    done = subprocess.run(trial.command(), capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    result = trial.result()
    assert result["complete"] is False
    assert [(cell["id"], cell["status"]) for cell in result["cells"]] == [("a", "ok")]
    assert trial.events()[-1]["cell"] == "b"


def test_a_crash_while_loading_leaves_the_phase_in_the_events(trial: Any) -> None:
    trial.write(fault="load_crash")
    assert subprocess.run(trial.command(), capture_output=True, timeout=60, check=False).returncode == -signal.SIGSEGV
    assert not (trial.folder / "out" / "result.json").exists()
    assert trial.events()[-1]["phase"] == "load"


def test_sigterm_keeps_what_is_finished(trial: Any) -> None:
    trial.write(fault="sleeps", cells=[trial.cell("a", min_iterations=1), trial.cell("b", min_duration_s=60, max_cell_s=90)])
    process = subprocess.Popen(trial.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: any(event["cell"] == "b" for event in written(trial)))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    result = trial.result()
    assert result["complete"] is False
    assert [cell["id"] for cell in result["cells"]] == ["a"]
    assert "SIGTERM" in result["failure"]["message"]
    assert result["failure"]["phase"] in ("warmup", "measure")


def test_an_adapter_deaf_to_sigterm_dies_by_sigkill_and_takes_the_probe_with_it(trial: Any) -> None:
    trial.write(fault="deaf", probe={"enabled": True})
    process = subprocess.Popen(trial.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(event["phase"] == "load" for event in written(trial)))
    time.sleep(0.2)
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.terminate()
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    process.wait(10)
    assert children
    wait_until(lambda: not any(alive(child) for child in children))


def test_a_fixed_batch_is_measured_with_its_own_shape_only(trial: Any) -> None:
    with np.load(trial.folder / "inputs.npz") as inputs, np.load(trial.folder / "reference.npz") as reference:
        rows, wanted = inputs["x"].reshape(8, 2, 200), reference["y"].reshape(8, 2, 4)
    np.savez(trial.folder / "inputs.npz", x=rows)
    np.savez(trial.folder / "reference.npz", y=wanted)
    result = trial.run(batchable=False, fixed_batch=2, cells=[trial.cell("a", batch=1), trial.cell("b", batch=2)])
    assert [cell["status"] for cell in result["cells"]] == ["unsupported", "ok"]
    assert result["cells"][1]["fidelity"]["rel_l2"] < 1e-6
    assert result["cells"][1]["fidelity"]["checked"] == 8


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"protocol": "infermatrix.job/99"}, "infermatrix.job/99"),
        ({"task": "dance"}, "unknown task 'dance'"),
        ({"threads": "many"}, "wrong type"),
        ({"adapter": "../evil", "adapter_file": None}, "no name of an adapter"),
    ],
)
def test_a_job_that_cannot_be_used_is_refused_with_exit_code_2(trial: Any, changes: dict[str, Any], word: str) -> None:
    result = trial.run(expect=2, **changes)
    assert result["complete"] is False
    assert result["failure"]["kind"] == "error"
    assert word in result["failure"]["message"]


def test_an_unknown_adapter_is_a_failure_to_import(trial: Any) -> None:
    result = trial.run(adapter="nowhere", adapter_file=None)
    assert result["failure"]["phase"] == "import"
    assert "nowhere" in result["failure"]["message"]


def test_a_missing_file_is_a_failure_to_load(trial: Any) -> None:
    result = trial.run(inputs=str(trial.folder / "none.npz"))
    assert result["failure"]["phase"] == "load"


def test_help_shows_an_example(runner_path: Path) -> None:
    done = subprocess.run([sys.executable, str(runner_path / "run.py"), "--help"], capture_output=True, text=True, check=True)
    assert "example:" in done.stdout
    assert "--job /mx/io/job.json" in done.stdout


def written(trial: Any) -> list[dict[str, Any]]:
    return trial.events() if (trial.folder / "out" / "events.jsonl").exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
