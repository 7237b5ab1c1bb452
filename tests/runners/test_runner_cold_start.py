"""A cold start: fresh processes, and a warm cache only where it is proven that something came out of it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result


def start(trial: Any, cache: str, *, fault: str = "keeps", expect: int = 0, **more: Any) -> dict[str, Any]:
    cells = [trial.cell("c", scenario="cold_start", options={"cache": cache}, **more)]
    result: dict[str, Any] = trial.run(cells=cells, fault=fault, expect=expect)
    return result


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_the_headline_is_the_sum_of_the_measured_process_s_own_phases(
    cache: str, trial: Any, samples_of: Callable[[Any], np.ndarray]
) -> None:
    result = start(trial, cache)
    read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["c"])
    assert result["complete"] is True
    assert result["failure"] is None
    (cell,) = result["cells"]
    phases = result["phases"]
    parts = [phases[name] or 0.0 for name in ("start_ms", "import_ms", "load_ms", "compile_ms")]
    assert cell["status"] == "ok"
    assert cell["headline_ms"] == pytest.approx(sum(parts) + cell["first_inference_ms"])
    assert samples_of(cell["samples"]).tolist() == [int(cell["headline_ms"] * 1e6)]
    assert phases["start_ms"] > 1
    assert cell["headline_ms"] + cell["details"]["harness_ms"] == pytest.approx(cell["wall_s"] * 1e3)
    assert cell["wall_s"] * 1e3 + phases["fill_ms"] < phases["total_ms"]
    assert cell["fidelity"]["checked"] == 16
    assert cell["fidelity"]["rel_l2"] < 1e-6


def test_the_cache_is_empty_when_cold_and_used_when_warm(trial: Any) -> None:
    cold, warm = (start(trial, cache)["evidence"]["cache"] for cache in ("cold", "warm"))
    assert (cold["hit"], cold["files_before"], cold["files_added"]) == (False, 0, 1)
    assert (warm["hit"], warm["files_before"], warm["files_added"], warm["files_changed"]) == (True, 1, 0, 0)


@pytest.mark.parametrize(("fault", "word"), [
    ("keeps_unused", "compiled anew"), ("keeps_rewrites", "1 of its 1 files were written again"),
    ("keeps_elsewhere", "the first process left none")])
def test_a_warm_cache_without_a_proven_hit_is_a_fallback(fault: str, word: str, trial: Any) -> None:
    result = start(trial, "warm", fault=fault)
    assert result["cells"] == []
    assert result["failure"]["kind"] == "fallback"
    assert word in result["failure"]["message"]


def test_a_cold_cache_that_was_not_cold_is_a_fallback(trial: Any) -> None:
    result = start(trial, "cold", fault="keeps_elsewhere")
    assert result["failure"]["kind"] == "fallback"
    assert "cold cache" in result["failure"]["message"]


@pytest.mark.parametrize(("fault", "word"), [("no_cache", "it has no cache"), ("", "says nothing of a cache")])
def test_without_a_cache_there_is_no_warm_start_but_a_cold_one(fault: str, word: str, trial: Any) -> None:
    (warm,) = start(trial, "warm", fault=fault)["cells"]
    assert warm["status"] == "unsupported"
    assert word in warm["reason"]
    (cold,) = start(trial, "cold", fault=fault)["cells"]
    assert cold["status"] == "ok"


def test_the_time_to_a_steady_state_lies_beyond_the_first_answer(trial: Any) -> None:
    (cell,) = start(trial, "cold", min_duration_s=0.1)["cells"]
    steady = cell["details"]["steady"]
    assert steady["looked_at"] > 18
    if "ms" in steady:  # on a very busy machine there may be none
        assert steady["ms"] >= cell["headline_ms"]
        assert 1 <= steady["inferences"] <= steady["looked_at"]
    else:
        assert "no steady state" in cell["null_reasons"]["details.steady.ms"]


def test_too_few_inferences_for_a_steady_state_say_so(trial: Any) -> None:
    (cell,) = start(trial, "cold", fault="sleeps", min_duration_s=0.01)["cells"]
    assert cell["status"] == "ok"
    assert "ms" not in cell["details"]["steady"]
    assert "are needed" in cell["null_reasons"]["details.steady.ms"]


@pytest.mark.parametrize(("fault", "phase", "kind", "word"), [
    ("load_raises", "load", "error", "not of this world"), ("load_unsupported", "load", "unsupported", "operator Foo"),
    ("load_crash", "load", "error", "SIGSEGV"), ("compile_raises", "compile", "error", "(1, 200)"),
    ("fallback", "verify", "fallback", "reference kernels")])
def test_what_goes_wrong_in_a_started_process_is_the_trial_s_own_failure(
    fault: str, phase: str, kind: str, word: str, trial: Any
) -> None:
    result = start(trial, "cold", fault=fault)
    assert result["complete"] is True
    assert (result["failure"]["phase"], result["failure"]["kind"]) == (phase, kind)
    assert word in result["failure"]["message"]


def test_a_wrong_answer_is_seen(trial: Any) -> None:
    (cell,) = start(trial, "cold", fault="wrong")["cells"]
    assert cell["fidelity"]["rel_l2"] > 0.01


def test_a_trial_told_to_end_takes_its_process_with_it(trial: Any) -> None:
    trial.write(cells=[trial.cell("c", scenario="cold_start", options={"cache": "cold"})], fault="deaf")
    process = subprocess.Popen(trial.command())
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _children(process.pid):
        time.sleep(0.05)
    children = _children(process.pid)
    assert children
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert not [pid for pid in children if _alive(pid)]
    assert "SIGTERM" in trial.result()["failure"]["message"]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
