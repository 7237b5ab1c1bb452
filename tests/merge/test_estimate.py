from __future__ import annotations

from typing import Any

import pytest

from orchestrator.merge.estimate import Estimate, estimate
from orchestrator.merge.state import gate_trials
from orchestrator.model import Scenario
from tests.merge.fabricate import SLOW_NS, make_cell, make_probes, make_record, make_samples

CELL = make_cell(batch=4)
PLANNED = {**CELL.canonical(), "id": CELL.id}


def of(records: list[dict[str, Any]], asked: int = 5) -> Estimate:
    return estimate(PLANNED, records, gate_trials(records), asked=asked)


def ok(medians: list[float], **more: Any) -> list[dict[str, Any]]:
    return [make_record(CELL, i, value, **more) for i, value in enumerate(medians)]


def test_the_estimate_is_the_median_of_the_trials_medians_with_their_range() -> None:
    cell = of(ok([2.0, 2.1, 1.9, 2.05, 2.02])).cell
    latency = cell["metrics"]["latency_ms"]
    assert latency["p50"] == pytest.approx(2.02, abs=1e-5)
    assert latency["ci95"] == pytest.approx([1.9, 2.1], abs=1e-5)
    assert cell["metrics"]["throughput_ips"] == pytest.approx(4 / 2.02e-3, rel=0.01)
    assert cell["trials"] == {"asked": 5, "run": 5, "failed": 0, "valid": 5, "invalid": []}
    assert cell["status"] == "ok"
    assert cell["state"] == "s1"
    assert cell["backend_version"] == "1.2.3"


def test_every_metric_is_there_with_its_unit() -> None:
    metrics = of(ok([2.0] * 5)).cell["metrics"]
    assert metrics["cpu_utilization"] == pytest.approx(2.0)
    assert metrics["cpu_time_s_per_inference"] == pytest.approx(0.8 / (51 * 4))
    assert metrics["memory_peak_mb"] == 124.0  # the largest of 120 … 124
    assert (metrics["load_ms"], metrics["first_inference_ms"], metrics["container_start_ms"]) == (30.0, 12.0, 300.0)
    assert (metrics["threads_seen"], metrics["nr_throttled"], metrics["install_mb"], metrics["packages"]) == (3, 0, 200.0, 12)


def test_a_null_says_why_in_the_runners_own_words_where_there_are_any() -> None:
    cell = of(ok([2.0] * 5)).cell
    reasons = cell["null_reasons"]
    assert reasons["metrics.latency_ms.p99"] == "51 samples per trial; 662 needed"
    assert reasons["metrics.compile_ms"] == "it compiles while it loads"
    assert reasons["metrics.memory_cgroup_peak_mb"] == "the cgroup does not show it"
    assert "nothing to convert" in reasons["metrics.convert_ms"]
    assert cell["metrics"]["latency_ms"]["p99"] is None


def test_energy_and_gpu_figures_come_from_the_host_s_meters() -> None:
    energy = {"j_per_inference": 0.5, "j_per_4096": 2048.0, "gross_j_per_inference": 0.8, "cpu_j_per_inference": None,
              "power_w": 250.0, "idle_w": 60.0}
    gpu = {"memory_process_mb": 900.0, "during": {"utilization": {"min": 0.5, "median": 0.9, "max": 1.0},
           "sm_mhz": {"min": 1.0, "median": 1400.0, "max": 2.0}, "temperature_c": None},
           "slowed_share": 0.0, "foreign_processes": 0}
    said = {"gpu.during.temperature_c": "NVML: no sensor", "energy.cpu_j_per_inference": "no RAPL here"}
    cell = of(ok([2.0] * 5, meters={"energy": energy, "gpu": gpu, "null_reasons": said})).cell
    metrics, reasons = cell["metrics"], cell["null_reasons"]
    assert (metrics["energy_j_per_inference"], metrics["energy_j_per_4096"], metrics["power_w"]) == (0.5, 2048.0, 250.0)
    assert (metrics["gpu_memory_mb"], metrics["gpu_utilization"], metrics["gpu_foreign_processes"]) == (900.0, 0.9, 0)
    assert reasons["metrics.energy_cpu_j_per_inference"] == "no RAPL here"
    assert reasons["metrics.gpu_temperature_c"] == "NVML: no sensor"  # the reason of what it is part of


def test_a_run_without_meters_says_so_for_every_figure_of_theirs() -> None:
    why = {"energy": "no window", "gpu": "the cell did not run on a GPU"}
    reasons = of(ok([2.0] * 5, meters={"energy": None, "gpu": None, "null_reasons": why})).cell["null_reasons"]
    assert reasons["metrics.energy_j_per_4096"] == reasons["metrics.power_w"] == "no window"
    assert reasons["metrics.gpu_sm_mhz"] == "the cell did not run on a GPU"
    assert of(ok([2.0] * 5)).cell["null_reasons"]["metrics.power_w"] == "energy was not measured"  # records of before


def test_the_time_on_the_device_is_the_median_of_the_trials_medians() -> None:
    records = ok([2.0] * 5)
    for number, record in enumerate(records):
        record["measurement"]["device_resident"] = {"samples": make_samples(1.0 + number / 10)}
    assert of(records).cell["metrics"]["device_latency_ms"] == pytest.approx(1.2, abs=1e-5)


def test_one_short_trial_takes_the_percentile_away_instead_of_flattering_it() -> None:
    cell = of([*ok([2.0] * 4, count=65), make_record(CELL, 4, 9.0, count=61)]).cell
    assert cell["metrics"]["latency_ms"]["p90"] is None
    assert cell["null_reasons"]["metrics.latency_ms.p90"] == "61 samples per trial; 64 needed"


def test_one_state_gives_the_estimate_and_the_others_are_left_out_with_the_reason() -> None:
    slow = [make_record(CELL, i, 3.6, probes=make_probes(SLOW_NS)) for i in (3, 4)]
    cell = of([*ok([2.0, 2.0, 2.0]), *slow]).cell
    assert cell["metrics"]["latency_ms"]["p50"] == pytest.approx(2.0)
    assert cell["trials"]["valid"] == 3
    assert cell["trials"]["invalid"] == [
        {"trial": i, "attempt": 0, "reason": "measured in machine state s2; the estimate is of state s1"} for i in (3, 4)
    ]


def test_the_usual_state_is_preferred_once_it_has_trials_enough() -> None:
    other = [make_record(make_cell("beta", batch=4), i) for i in range(5)]
    for usual, state in ((3, "s1"), (2, "s2")):
        here = [*ok([2.0] * usual), *[make_record(CELL, 10 + i, 3.6, probes=make_probes(SLOW_NS)) for i in range(4)]]
        cell = estimate(PLANNED, here, gate_trials([*here, *other]), asked=5).cell
        assert (cell["state"], cell["trials"]["valid"]) == (state, 3 if state == "s1" else 4)


def test_a_cell_seen_only_in_the_unusual_state_is_estimated_there_and_labelled() -> None:
    other = make_cell("beta", batch=4)
    here = [make_record(CELL, i, 3.6, probes=make_probes(SLOW_NS)) for i in range(3)]
    gate = gate_trials([*here, *[make_record(other, i) for i in range(5)]])
    cell = estimate(PLANNED, here, gate, asked=3).cell
    assert (cell["status"], cell["state"]) == ("ok", "s2")


def test_the_series_holds_every_state_by_round_and_joins_repeats() -> None:
    repeated = make_record(CELL, 0, 2.42, attempt=1)
    series = of([*ok([2.0, 2.1]), repeated]).series
    assert series is not None
    assert series.medians_ms["s1"] == pytest.approx({0: (2.0 * 2.42) ** 0.5, 1: 2.1}, rel=1e-5)


def test_a_cell_of_which_no_trial_counts_shows_its_size_under_a_status_that_warns() -> None:
    found = of(ok([2.0, 3.0, 2.2], probes=make_probes(SLOW_NS, 170.0)))
    cell = found.cell
    assert (cell["status"], cell["trials"]["valid"], cell["stability"]["verdict"]) == ("unstable", 0, "unstable")
    assert cell["reason"].startswith("none of its 3 trials counts: the machine's state changed during the trial")
    assert cell["metrics"]["latency_ms"]["p50"] == pytest.approx(2.2)
    assert found.series is None


def test_fidelity_is_the_worst_of_all_trials() -> None:
    records = ok([2.0] * 3)
    records[1]["measurement"]["fidelity"].update(rel_l2=5e-4, cosine=0.9995, checked=8)
    fidelity = of(records).cell["fidelity"]
    assert (fidelity["rel_l2"], fidelity["cosine"], fidelity["checked"]) == (5e-4, 0.9995, 8)
    assert fidelity["verdict"] == "within tolerance"


def test_a_wrong_answer_has_fidelity_and_no_speed() -> None:
    found = of([*ok([2.0] * 4), make_record(CELL, 4, status="wrong_answer", reason="rel_l2 0.5 from the reference")])
    cell = found.cell
    assert cell["status"] == "wrong_answer"
    assert cell["fidelity"]["verdict"] == "wrong"
    assert cell["metrics"]["latency_ms"]["p50"] is None
    assert cell["metrics"]["throughput_ips"] is None
    assert found.series is None


def test_damaged_samples_cost_their_trial_only() -> None:
    records = ok([2.0] * 5)
    records[2]["measurement"]["samples"]["data"] = "AAAA"
    cell = of(records).cell
    assert cell["trials"]["valid"] == 4
    assert "cannot be unpacked" in cell["trials"]["invalid"][0]["reason"]


def test_a_single_trial_has_an_estimate_and_no_interval_and_is_not_called_stable() -> None:
    cell = of(ok([2.0])).cell
    assert cell["metrics"]["latency_ms"]["p50"] == pytest.approx(2.0)
    assert cell["metrics"]["latency_ms"]["ci95"] is None
    assert cell["stability"]["verdict"] == "unstable"
    assert cell["null_reasons"]["metrics.latency_ms.ci95"] == "one trial; an interval needs two"


def test_trials_that_agree_are_stable_and_missing_ones_make_it_noisy() -> None:
    assert of(ok([2.0, 2.001, 2.002, 2.0, 2.001])).cell["stability"]["verdict"] == "stable"
    assert of(ok([2.0, 2.001, 2.002])).cell["stability"]["verdict"] == "noisy"


def test_what_the_runner_says_is_compared_decides_over_stability_too() -> None:
    """Latency is steady, throughput is not: a cell about throughput is unstable."""
    cell = make_cell(scenario=Scenario.MULTI_INSTANCE, instances=2, threads=1)
    records = [make_record(cell, index, 2.0) for index in range(5)]
    for index, record in enumerate(records):
        rate = 100.0 * (1 + index)
        details = {"instance": {"1": {"p50_ms": rate}}}
        record["measurement"] |= {"throughput_ips": rate, "headline_ms": 1e3 / rate, "details": details}
    found = estimate({**cell.canonical(), "id": cell.id}, records, gate_trials(records), asked=5)
    assert found.cell["metrics"]["throughput_ips"] == 300.0
    assert found.cell["stability"]["verdict"] == "unstable"
    assert found.cell["metrics"]["details"] == {"instance.1.p50_ms": 300.0}
    low, high = found.cell["metrics"]["details_ci95"]["instance.1.p50_ms"]
    assert 100 <= low < 300 < high <= 500
    assert found.series is not None
    assert min(found.series.medians_ms[found.cell["state"]].values()) == pytest.approx(2.0)


def test_a_load_that_took_what_another_had_compiled_has_no_times_of_its_own() -> None:
    kept = {"key": "k", "ms": 9_000.0, "cached": True}
    cell = of(ok([2.0] * 5, compiled=kept)).cell
    for name in ("load_ms", "compile_ms", "first_inference_ms"):
        assert cell["metrics"][name] is None
        assert "compiled: kept" in cell["null_reasons"][f"metrics.{name}"]
    assert cell["metrics"]["start_ms"] is not None
    assert cell["metrics"]["latency_ms"]["p50"] == pytest.approx(2.0, rel=0.01)
