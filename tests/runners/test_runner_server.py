"""The server scenario through the real LoadGen, with a small network behind the adapter and faults planted in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orchestrator.protocol import read_result

pytest.importorskip("mlperf_loadgen", reason="there is no wheel of mlcommons-loadgen for this Python")
OPTIONS = {"target_ms": 200.0, "percentile": 90.0, "max_delay_ms": 1.0}


def served(
    trial: Any, *, fault: str = "", batches: tuple[int, ...] = (4,), max_cell_s: float = 20, **options: float
) -> dict[str, Any]:
    """The result of a trial with a server cell for each batch."""
    cells = [
        trial.cell(f"b{batch}", scenario="server", batch=batch, options={**OPTIONS, **options}, max_cell_s=max_cell_s,
                   min_duration_s=0.1)
        for batch in batches
    ]
    result: dict[str, Any] = trial.run(fault=fault, cells=cells)
    names = [cell["id"] for cell in cells]
    read_result(trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=names)
    return result


def test_a_rate_is_found_proven_and_told_with_what_it_rests_on(trial: Any, samples_of: Any) -> None:
    result = served(trial, fault="serves_slowly")
    (cell,) = result["cells"]
    assert cell["status"] == "ok", cell["reason"]
    details = cell["details"]
    # 2 ms for a batch of at most 4: not more than 2,000 a second; one at a time would be at most 500.
    assert 50 < cell["throughput_ips"] < 2_000
    assert cell["headline_ms"] == pytest.approx(1e3 / cell["throughput_ips"])
    assert details["rate"]["scheduled_qps"] == cell["throughput_ips"]
    assert details["rate"].get("lowest_failed_qps", np.inf) > details["rate"]["target_qps"]
    latencies = np.sort(samples_of(cell["samples"]))
    assert len(latencies) == cell["iterations"] >= 81  # what the early-stopping rule needs at p90
    assert latencies[int(np.ceil(0.9 * len(latencies))) - 1] <= 200e6
    assert latencies[0] >= 2e6
    assert details["bound"]["latency_ms"] >= details["latency_ms"]["p90"]
    assert details["bound"]["over_target"] == int((latencies > 200e6).sum())
    assert 1 <= details["batch"]["mean"] <= details["batch"]["largest"] <= 4
    assert cell["fidelity"]["checked"] >= 4
    assert cell["fidelity"]["rel_l2"] < 1e-6
    assert result["phases"]["load_ms"] > 0
    assert result["evidence"]["detail"]["mlcommons-loadgen"]
    notes = [event["note"] for event in trial.events() if event["phase"] == "measure"]
    assert notes[-1].startswith("full run at")
    assert notes[-1].endswith("holds")


def test_a_queue_that_grows_refuses_a_rate_whose_latencies_would_have_met_the_target(trial: Any) -> None:
    """The target is far longer than the runs: only the queue can tell that a rate is too high."""
    (cell,) = served(trial, fault="serves_slowly", target_ms=1_000, max_cell_s=60)["cells"]
    assert cell["status"] == "ok", cell["reason"]
    assert cell["throughput_ips"] < 2_000
    refused = [event["note"] for event in trial.events() if "refused" in event["note"]]
    assert any("0 over the target" in note and "the queue grows" in note for note in refused), refused


def test_a_target_that_one_request_alone_misses_is_said_to_be_missed(trial: Any) -> None:
    (cell,) = served(trial, fault="serves_slowly", target_ms=1)["cells"]
    assert (cell["status"], cell["phase"]) == ("target_missed", "warmup")
    assert "one request alone takes 2." in cell["reason"]
    assert "p90 ≤ 1 ms" in cell["reason"]
    assert cell["samples"] is None


def test_a_target_that_only_company_misses_is_said_to_be_missed(trial: Any) -> None:
    """Alone a request takes 2 ms, but it must wait 60 ms for others that hardly come."""
    (cell,) = served(trial, fault="serves_slowly", batches=(64,), target_ms=4, max_delay_ms=60, max_cell_s=60)["cells"]
    assert cell["status"] in ("target_missed", "skipped"), cell
    assert "took longer than 4 ms" in cell["reason"]


def test_a_cell_that_cannot_be_served_in_its_time_is_skipped_and_says_what_it_would_take(trial: Any) -> None:
    (cell,) = served(trial, fault="sleeps", percentile=99, target_ms=1_000)["cells"]
    assert cell["status"] == "skipped"
    assert "would take" in cell["reason"]


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        ("served_crashes", "failed", "signal 11 (SIGSEGV)"),
        ("served_raises", "failed", "RuntimeError: the kernel was lost"),
        ("raises", "failed", "RuntimeError: kernel launch failed"),
        ("unsupported", "unsupported", "is not supported"),
    ],
)
def test_a_backend_that_fails_is_a_status_and_the_next_cell_is_tried(trial: Any, fault: str, status: str, word: str) -> None:
    result = served(trial, fault=fault, batches=(1, 2))
    assert result["complete"]
    assert result["failure"] is None
    assert [(cell["id"], cell["status"]) for cell in result["cells"]] == [("b1", status), ("b2", status)]
    assert all(word in cell["reason"] for cell in result["cells"])


def test_a_crash_costs_its_own_cell_only(trial: Any) -> None:
    first, second = served(trial, fault="serves_until_it_crashes", batches=(4, 8))["cells"]  # killed at batches of 8
    assert first["status"] == "ok", first["reason"]
    assert second["status"] == "failed"
    assert "signal 9 (SIGKILL)" in second["reason"]


def test_a_hang_ends_at_the_deadline_and_costs_its_own_cell_only(trial: Any) -> None:
    first, second = served(trial, fault="served_hangs", batches=(1, 2), max_cell_s=1)["cells"]
    for cell in (first, second):
        assert (cell["status"], cell["phase"]) == ("skipped", "measure")
        assert "hung" in cell["reason"]


def test_a_wrong_answer_is_seen_while_it_is_served(trial: Any) -> None:
    (cell,) = served(trial, fault="wrong")["cells"]
    assert cell["fidelity"]["rel_l2"] == pytest.approx(0.05, rel=0.01)


def test_a_load_that_fails_is_the_trial_s_failure(trial: Any) -> None:
    result = served(trial, fault="load_unsupported")
    assert result["cells"] == []
    assert (result["failure"]["phase"], result["failure"]["kind"]) == ("load", "unsupported")


def test_a_fallback_ends_the_trial(trial: Any) -> None:
    assert served(trial, fault="fallback")["failure"]["kind"] == "fallback"


def test_without_loadgen_the_cell_is_unsupported_and_says_what_is_missing(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = trial.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'mlperf_loadgen' else real(name, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    (cell,) = served(trial)["cells"]
    assert cell["status"] == "unsupported"
    assert "mlcommons-loadgen" in cell["reason"]
