"""Laying the instances' loops over each other: arithmetic that a picture can check."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def pooled(runner_path: object) -> Any:
    del runner_path  # the conftest puts the runner's folder on the path
    return importlib.import_module("pooled")


def line(pooled: Any, begin: int, *durations: int) -> Any:
    ends = begin + np.cumsum(np.array(durations, dtype=float))
    return pooled.Timeline(ends - np.array(durations, dtype=float), ends, begin, int(ends[-1]))


def test_the_window_is_where_all_were_measuring(pooled: Any) -> None:
    lines = [line(pooled, 0, 10, 10, 10), line(pooled, 5, 30)]
    assert pooled.common_window(lines) == (5, 30)


def test_an_inference_that_the_edge_cuts_counts_for_the_part_inside(pooled: Any) -> None:
    assert pooled.completed(line(pooled, 0, 10, 10, 10), (5, 30)) == pytest.approx(2.5)
    assert pooled.completed(line(pooled, 5, 30), (5, 30)) == pytest.approx(25 / 30)
    assert pooled.completed(line(pooled, 0, 10), (10, 30)) == 0


def test_samples_of_the_pool_are_whole_and_in_the_order_of_their_ends(pooled: Any) -> None:
    lines = [line(pooled, 0, 100, 120, 80), line(pooled, 50, 40, 90, 110)]
    assert pooled.pooled_samples(lines, (50, 290)) == [40, 90, 120, 110]
    assert pooled.pooled_samples([line(pooled, 0, 100), line(pooled, 50, 100)], (50, 100)) == [100, 100]


def test_what_lies_between_two_samples_is_shared_out_evenly(pooled: Any) -> None:
    pack = importlib.import_module("measure").pack
    found = pooled.timeline({"samples": pack([10, 10]), "window": {"begin_ns": 100, "end_ns": 130}})
    assert found.ends.tolist() == [115.0, 130.0]
    assert found.starts.tolist() == [105.0, 120.0]


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.lists(st.integers(1_000, 100_000), min_size=1, max_size=30)),
             min_size=1, max_size=5)
)
def test_no_instance_completes_more_than_it_did_or_than_the_window_holds(loops: list[tuple[int, list[int]]]) -> None:
    module = importlib.import_module("pooled")
    lines = [line(module, begin, *durations) for begin, durations in loops]
    window = module.common_window(lines)
    if window[1] <= window[0]:
        return
    for (_, durations), one in zip(loops, lines, strict=True):
        done = module.completed(one, window)
        assert 0 < done <= len(durations) + 1e-9
        assert done <= (window[1] - window[0]) / min(durations) + 1e-9
    assert sorted(module.pooled_samples(lines, window))[0] >= 1_000


def test_details_name_each_instance_unless_there_are_too_many(pooled: Any) -> None:
    lines = [line(pooled, 0, *[10_000_000] * 10), line(pooled, 0, *[20_000_000] * 5)]
    found = pooled.details(lines, pooled.common_window(lines), 4)
    assert found["instance"]["1"] == {"p50_ms": 10.0, "throughput_ips": pytest.approx(400)}
    assert found["instance"]["2"]["throughput_ips"] == pytest.approx(200)
    assert (found["fastest_p50_ms"], found["slowest_p50_ms"], found["window_ms"]) == (10.0, 20.0, 100.0)
    assert "instance" not in pooled.details(lines * 9, (0, 100_000_000), 1)


def test_the_worst_fidelity_is_taken_measure_by_measure(pooled: Any) -> None:
    good = {"max_abs": 2.0, "rel_l2": 1e-6, "mismatch_fraction": None, "cosine": 0.9, "topk_agreement": 1.0,
            "top5_agreement": None, "nan": 0, "inf": 0, "checked": 16, "problem": None, "outputs": ["good"]}
    bad = {**good, "max_abs": 1.0, "rel_l2": 0.5, "cosine": 0.99, "nan": 3, "checked": 12, "outputs": ["bad"]}
    found = pooled.worst([good, bad])
    assert (found["max_abs"], found["rel_l2"], found["cosine"], found["nan"], found["checked"]) == (2.0, 0.5, 0.9, 3, 12)
    assert found["outputs"] == ["bad"]
    assert found["mismatch_fraction"] is None
    assert pooled.worst([good, {**good, "problem": "another shape", "checked": 0}])["problem"] == "another shape"


def test_a_sum_that_lacks_a_part_is_not_known(pooled: Any) -> None:
    assert pooled.summed([1.0, 2.0]) == 3.0
    assert pooled.summed([1.0, None]) is None
