"""Cells of which a trial has one sample: a start happens once in a process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orchestrator.merge.matrix import merge
from orchestrator.merge.samples import encode_samples, trial_numbers
from orchestrator.model import Cell, Scenario
from tests.merge.fabricate import make_cell, make_record

STARTS = (300.0, 310.0, 305.0, 295.0, 302.0)


def start_record(of: Cell, index: int, ms: float, **more: Any) -> dict[str, Any]:
    record = make_record(of, index)
    record["measurement"].update(samples=encode_samples([int(ms * 1e6)]), iterations=1, headline_ms=ms, **more)
    return record


def start_cell(label: str) -> Cell:
    return make_cell(label, scenario=Scenario.COLD_START, options={"cache": "cold"})


def merged(*cells: Cell, records: list[dict[str, Any]]) -> dict[str, Any]:
    return merge({"id": "r"}, records, cells, asked=len(STARTS))


def test_the_median_is_over_trials_with_an_interval_and_there_is_no_rate() -> None:
    cell = start_cell("one")
    (found,) = merged(cell, records=[start_record(cell, i, ms) for i, ms in enumerate(STARTS)])["cells"]
    latency = found["metrics"]["latency_ms"]
    assert found["status"] == "ok"
    assert latency["p50"] == pytest.approx(302.0)
    assert latency["ci95"] == [pytest.approx(295.0), pytest.approx(310.0)]
    assert latency["min"] == pytest.approx(295.0)
    assert latency["p90"] is None
    assert found["metrics"]["throughput_ips"] is None
    assert "no rate" in found["null_reasons"]["metrics.throughput_ips"]
    assert "no rate" in found["null_reasons"]["metrics.throughput_ci95"]


def test_starts_are_compared_by_their_headline() -> None:
    one, other = start_cell("one"), start_cell("other")
    records = [start_record(one, i, ms) for i, ms in enumerate(STARTS)]
    records += [start_record(other, i, 2 * ms) for i, ms in enumerate(STARTS)]
    (comparison,) = merged(one, other, records=records)["comparisons"]
    assert comparison["faster"] == one.id
    assert comparison["ratio"] in (pytest.approx(2.0), pytest.approx(0.5))


@pytest.mark.parametrize("headline", [None, 7.0])
def test_one_sample_that_is_not_the_headline_has_no_median(headline: float | None) -> None:
    numbers = trial_numbers(np.array([3_000_000], dtype=np.uint64), 1, headline_ms=headline)
    assert numbers.percentiles["p50"] is None
    assert numbers.throughput_ips == pytest.approx(333.3, rel=1e-3)


def test_two_samples_still_have_no_median() -> None:
    numbers = trial_numbers(np.array([3_000_000, 3_000_000], dtype=np.uint64), 1, headline_ms=3.0)
    assert numbers.percentiles["p50"] is None


def test_a_figure_that_one_trial_could_not_have_is_null_for_the_cell() -> None:
    cell = start_cell("one")
    records = [start_record(cell, i, ms, details={"steady": {"ms": ms + 50, "latency_ms": 2.0}}) for i, ms in enumerate(STARTS)]
    (found,) = merged(cell, records=records)["cells"]
    assert found["metrics"]["details"] == {"steady.ms": pytest.approx(352.0), "steady.latency_ms": 2.0}
    del records[1]["measurement"]["details"]["steady"]["ms"]
    records[1]["measurement"]["null_reasons"]["details.steady.ms"] = "no steady state"
    (found,) = merged(cell, records=records)["cells"]
    assert found["metrics"]["details"] == {"steady.latency_ms": 2.0}
    assert found["null_reasons"]["metrics.details.steady.ms"] == "in 1 of 5 trials: no steady state"
