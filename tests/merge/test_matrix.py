from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchestrator
from orchestrator.errors import ResultError
from orchestrator.merge.combine import merge_matrices
from orchestrator.merge.matrix import merge
from orchestrator.model import Cell
from tests.merge.fabricate import SLOW_NS, make_cell, make_probes, make_record, make_samples

SCHEMAS = Path(orchestrator.__file__).parent / "schemas"
A, B, C = make_cell("a"), make_cell("b"), make_cell("c")
FAILURES = ["crashed", "oom", "timeout", "host_lost", "unsupported", "compile_failed", "build_failed"]


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


MATRIX_SCHEMA, RECORD_SCHEMA = validator("matrix"), validator("record")


def noisy(of: Cell, median_ms: float, *, seed: int, trials: int = 5, sigma: float = 0.01, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [make_record(of, i, median_ms * float(np.exp(rng.normal(0, sigma))), **more) for i in range(trials)]


def merged(records: list[dict[str, Any]], planned: list[Cell], run: str = "r1", **more: Any) -> dict[str, Any]:
    document = merge({"id": run, "name": "test"}, records, planned, asked=5, **more)
    MATRIX_SCHEMA.validate(document)
    json.dumps(document, allow_nan=False)
    return document


def cells_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cell["label"]: cell for cell in document["cells"]}


def unexplained(cell: dict[str, Any]) -> list[str]:
    """Paths of nulls below metrics that no reason covers."""
    paths = [f"metrics.{k}" for k, v in cell["metrics"].items() if v is None]
    paths += [f"metrics.latency_ms.{k}" for k, v in cell["metrics"]["latency_ms"].items() if v is None]
    prefixes = [path.split(".") for path in cell["null_reasons"]]
    return [path for path in paths if not any(path.split(".")[: len(p)] == p for p in prefixes)]


@pytest.mark.parametrize("record", [
    make_record(A), make_record(A, status="wrong_answer"), make_record(A, status="crashed"),
    make_record(A, status="build_failed", env=None, limits=None, started=None, wall_s=None,
                model={"name": "spam", "sha256": None}),
])
def test_records_fit_their_schema(record: dict[str, Any]) -> None:
    RECORD_SCHEMA.validate(record)


@pytest.mark.parametrize("change", [
    {"schema": "infermatrix.record/2"}, {"status": "splendid"}, {"valid": "yes"}, {"measurement": None}, {"phase": "lunch"},
])
def test_records_that_are_not_ours_do_not_fit(change: dict[str, Any]) -> None:
    assert not RECORD_SCHEMA.is_valid({**make_record(A), **change})


def test_every_planned_cell_is_there_in_order_and_a_hole_says_why() -> None:
    found = merged([*noisy(A, 2.0, seed=1), make_record(B, status="crashed", reason="killed by signal 11")], [C, A, B])
    assert [(cell["label"], cell["status"]) for cell in found["cells"]] == [("c", "not_run"), ("a", "ok"), ("b", "crashed")]
    assert all(cell["reason"] for cell in found["cells"] if cell["status"] != "ok")
    assert all(unexplained(cell) == [] for cell in found["cells"])


def test_the_same_backend_twice_is_tied_and_the_fast_one_is_best() -> None:
    quick = merged([*noisy(A, 2.0, seed=1), *noisy(B, 2.0, seed=2), *noisy(C, 1.0, seed=3)], [A, B, C])
    cells = cells_of(quick)
    assert [cells[name]["best"] for name in "abc"] == [False, False, True]
    assert cells["a"]["tied_with"] == [B.id]
    assert cells["c"]["tied_with"] == []
    twins = cells_of(merged([*noisy(A, 2.0, seed=1), *noisy(B, 2.0, seed=2)], [A, B]))
    assert not twins["a"]["best"]
    assert not twins["b"]["best"]


def test_a_wrong_answer_is_compared_with_nobody_however_fast() -> None:
    found = merged([*noisy(A, 2.0, seed=1), *noisy(B, 3.0, seed=2), *noisy(C, 0.1, seed=3, status="wrong_answer")], [A, B, C])
    assert {one for pair in found["comparisons"] for one in (pair["a"], pair["b"])} == {A.id, B.id}
    assert cells_of(found)["a"]["best"]


def test_cells_measured_in_different_states_are_not_compared() -> None:
    slow = noisy(B, 3.0, seed=2, probes=make_probes(SLOW_NS))
    found = merged([*noisy(A, 2.0, seed=1), *noisy(C, 2.5, seed=3), *slow], [A, B, C])
    assert cells_of(found)["b"]["state"] == "s2"
    assert all(pair["pairs"] == 0 for pair in found["comparisons"] if B.id in (pair["a"], pair["b"]))
    assert not cells_of(found)["a"]["best"]
    assert [(state["id"], state["reference"]) for state in found["hosts"][0]["states"]] == [("s1", True), ("s2", False)]
    assert any("in 2 states" in warning for warning in found["warnings"])


def anchor(of: Cell, at: str, median_ms: float, index: int) -> dict[str, Any]:
    record = make_record(of, index, median_ms)
    record["trial"].update(anchor=True, anchor_at=at)
    return record


def test_anchors_report_drift_and_are_no_part_of_the_estimate() -> None:
    anchors = [anchor(A, "start", 2.0, 90), anchor(A, "middle", 2.02, 91), anchor(A, "end", 2.4, 92)]
    plain, with_anchors = merged(noisy(A, 2.0, seed=1), [A]), merged([*noisy(A, 2.0, seed=1), *anchors], [A])
    assert with_anchors["cells"] == plain["cells"]
    assert any("the anchor moved by 20.0 %" in w and "2.4 ms at the end" in w for w in with_anchors["warnings"])
    assert plain["warnings"] == merged([*noisy(A, 2.0, seed=1), *anchors[:2]], [A])["warnings"] == []


@pytest.mark.parametrize(("change", "word"), [
    ({"schema": "infermatrix.record/0"}, "schema"),
    ({"result": {"protocol": "infermatrix.result/0"}}, "protocol"),
    ({"host": {"fingerprint": "elsewhere"}}, "two different machines"),
])
def test_unlike_records_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ResultError, match=word):
        merged([*noisy(A, 2.0, seed=1), {**make_record(A, 7), **change}], [A])


def test_records_of_an_older_environment_are_left_out_and_said() -> None:
    old = [{**record, "key": "old", "started": "2024-01-01"} for record in noisy(A, 9.0, seed=1)]
    found = merged([*old, *noisy(A, 2.0, seed=1)], [A])
    assert found["cells"] == merged(noisy(A, 2.0, seed=1), [A])["cells"]
    assert any("5 records left out" in warning for warning in found["warnings"])
    asked_for = merged([*old, *noisy(A, 2.0, seed=1)], [A], keys={A.id: "old"})
    assert asked_for["cells"][0]["metrics"]["latency_ms"]["p50"] > 8


def test_records_of_unplanned_cells_are_left_out_and_said() -> None:
    found = merged([*noisy(A, 2.0, seed=1), *noisy(B, 2.0, seed=2)], [A])
    assert len(found["cells"]) == 1
    assert any("did not plan" in warning for warning in found["warnings"])


statuses = st.lists(st.sampled_from(["ok", "ok", "ok", "wrong_answer", *FAILURES]), min_size=1, max_size=6)


@given(st.lists(statuses, min_size=3, max_size=3), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_matrix_does_not_depend_on_the_order_of_records(plan: list[list[str]], seed: int) -> None:
    rng = random.Random(seed)
    records = [
        make_record(cell, i, 2.0 + rng.random() * 0.1, status=status, probes=make_probes(rng.choice([176.0, 447.0])))
        for cell, found in zip((A, B, C), plan, strict=True) for i, status in enumerate(found)
    ]
    expected = merged(records, [A, B, C])
    assert all(unexplained(cell) == [] for cell in expected["cells"])
    rng.shuffle(records)
    assert merged(records, [A, B, C]) == expected


@given(statuses, st.sampled_from(FAILURES), st.integers(0, 6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_failed_record_more_never_makes_a_cell_better(found: list[str], failure: str, index: int, attempt: int) -> None:
    records = [make_record(A, i, 2.0 + 0.01 * i, status=status) for i, status in enumerate(found)]
    before = merged(records, [A])["cells"][0]
    after = merged([*records, make_record(A, index, status=failure, attempt=attempt)], [A])["cells"][0]
    assert before["status"] == "ok" or after["status"] != "ok"
    if after["status"] == "ok":
        assert after["metrics"] == before["metrics"]
        assert after["stability"] == before["stability"]
    assert after["trials"]["valid"] <= before["trials"]["valid"]


@given(st.lists(st.floats(1.0, 4.0), min_size=2, max_size=7), st.sampled_from([2, 5, 10]))
@settings(max_examples=40, deadline=None)
def test_estimates_scale_with_the_samples(medians: list[float], factor: int) -> None:
    plain = merged([make_record(A, i, value) for i, value in enumerate(medians)], [A])["cells"][0]
    records = [make_record(A, i, value) for i, value in enumerate(medians)]
    for i, (record, value) in enumerate(zip(records, medians, strict=True)):
        record["measurement"]["samples"] = make_samples(factor * value, seed=i)
    scaled = merged(records, [A])["cells"][0]
    for name in ("min", "mean", "p50"):
        assert scaled["metrics"]["latency_ms"][name] == pytest.approx(factor * plain["metrics"]["latency_ms"][name], rel=1e-5)
    assert scaled["metrics"]["throughput_ips"] == pytest.approx(plain["metrics"]["throughput_ips"] / factor, rel=1e-5)
    low, high = plain["metrics"]["latency_ms"]["ci95"]
    assert low <= plain["metrics"]["latency_ms"]["p50"] <= high


def many(cells: int, trials: int) -> tuple[list[Cell], list[dict[str, Any]]]:
    planned = [make_cell(f"c{i % 10}", model=f"m{i // 10}") for i in range(cells)]
    return planned, [make_record(cell, t, 2.0) for cell in planned for t in range(trials)]


def test_ten_times_the_records_take_about_ten_times_as_long() -> None:
    def seconds(cells: int) -> float:
        planned, records = many(cells, 5)
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            merge({"id": "r"}, records, planned, asked=5)
            best = min(best, time.process_time() - begin)
        return best

    small = seconds(40)
    assert seconds(400) < 25 * small  # a quadratic step would take a hundred times as long


def test_matrices_of_several_runs_stand_side_by_side_and_keep_their_comparisons() -> None:
    both = [*noisy(A, 2.0, seed=1), *noisy(B, 1.0, seed=2)]
    one, two = merged(both, [A, B], "r1"), merged(noisy(A, 2.2, seed=4), [A, C], "r2")
    found = merge_matrices([one, two])
    MATRIX_SCHEMA.validate(found)
    assert [cell["id"] for cell in found["cells"]] == [f"{A.id}@r1", B.id, f"{A.id}@r2", C.id]
    assert [(c["a"], c["b"], c["faster"]) for c in found["comparisons"]] == [(f"{A.id}@r1", B.id, B.id)]
    assert found["cells"][0]["state"] == found["comparisons"][0]["state"] == "s1@r1"
    assert {state["id"] for state in found["hosts"][0]["states"]} == {"s1@r1", "s1@r2"}
    assert merge_matrices([one]) == one


def test_matrices_that_do_not_belong_together_are_refused() -> None:
    one, two = merged(noisy(A, 2.0, seed=1), [A], "r1"), merged(noisy(A, 2.0, seed=1, host={"fingerprint": "b"}), [A], "r2")
    with pytest.raises(ResultError, match="two different machines"):
        merge_matrices([one, two])
    with pytest.raises(ResultError, match="there twice"):
        merge_matrices([one, one])
    with pytest.raises(ResultError, match="no matrix"):
        merge_matrices([])
    with pytest.raises(ResultError, match="schema"):
        merge_matrices([one, {**one, "schema": "infermatrix.matrix/9"}])
