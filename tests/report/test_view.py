"""What the reports conclude from a matrix, before any format."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.answers import Verdict
from orchestrator.report.cells import NO_REASON, CellView
from orchestrator.report.metrics import View
from orchestrator.report.plots import cold_start, interval_plot
from orchestrator.report.units import Unit
from orchestrator.report.view import Column, build_view
from tests.report.sample import CONDITIONS, LABELS, MODELS, sample_matrix


def column(matrix: dict[str, Any], model: str, batch: int) -> Column:
    view = build_view(matrix)
    return next(c for m in view.models if m.name == model for c in m.columns if c.cells[0].raw["batch"] == batch)


def cell_of(matrix: dict[str, Any], label: str, model: str, batch: int) -> dict[str, Any]:
    found: dict[str, Any] = next(
        c for c in matrix["cells"] if (c["label"], c["model"], c["batch"]) == (label, model, batch)
    )
    return found


def test_every_planned_cell_appears_exactly_once() -> None:
    view = build_view(sample_matrix())
    shown = [cell.id for model in view.models for row in model.rows for slot in row.slots for cell in slot]
    assert sorted(shown) == sorted(cell["id"] for cell in sample_matrix()["cells"])
    assert len(shown) == len(LABELS) * len(MODELS) * len(CONDITIONS)


def test_two_cells_in_one_place_are_both_kept() -> None:
    matrix = sample_matrix()
    twin = copy.deepcopy(matrix["cells"][0])
    twin["id"] = "twin"
    matrix["cells"].append(twin)
    slot = build_view(matrix).models[0].rows[0].slots[0]
    assert [cell.id for cell in slot] == [matrix["cells"][0]["id"], "twin"]


def test_winner_is_named_with_the_paired_ratio_to_the_runner_up() -> None:
    answer = column(sample_matrix(), "mobilenetv2", 1).answer
    assert answer.verdict is Verdict.DECIDED
    assert answer.sentence.startswith("Fastest: onnxruntime: 6.20 ms (95 % CI ")
    assert "1.30× (1.28–1.31) the speed of ncnn" in answer.sentence
    assert answer.caveats == "Without a figure that counts: openvino (build failed)."


def test_no_winner_is_named_that_the_merge_did_not_flag() -> None:
    matrix = sample_matrix()
    cell_of(matrix, "onnxruntime", "mobilenetv2", 1)["best"] = False
    answer = column(matrix, "mobilenetv2", 1).answer
    assert answer.verdict is Verdict.UNDECIDED
    assert "Fastest" not in answer.sentence


def with_a_fast_wrong_answer() -> dict[str, Any]:
    """A matrix from elsewhere, which gave the wrong answer figures, comparisons and even the mark."""
    matrix = sample_matrix()
    wrong = cell_of(matrix, "ncnn", "resnet50", 1)
    wrong["metrics"]["latency_ms"].update(p50=1.25, ci95=[1.24, 1.26])
    wrong["best"] = True
    matrix["comparisons"] += [
        {"a": wrong["id"], "b": cell_of(matrix, label, "resnet50", 1)["id"], "ratio": 0.03, "ci": [0.02, 0.04], "pairs": 3,
         "decided": True, "faster": wrong["id"], "why": ""} for label in LABELS[:3]
    ]
    return matrix


def test_a_wrong_answer_is_neither_winner_nor_compared_nor_drawn() -> None:
    found = column(with_a_fast_wrong_answer(), "resnet50", 1)
    assert found.answer == column(sample_matrix(), "resnet50", 1).answer
    assert not any(cell.is_best for cell in found.cells)
    assert len(found.pairs) == 3
    assert not any(cell.label == "ncnn" for pair in found.pairs for cell in (pair.a, pair.b))
    assert interval_plot(found, View.LATENCY).marks[3].x is None


def test_tie_says_how_large_the_difference_may_be() -> None:
    answer = column(sample_matrix(), "spam", 1).answer
    assert answer.verdict is Verdict.TIED
    assert answer.sentence.startswith("Tied: onnxruntime and openvino, difference within 1.5 %: 11.0 µs")


def test_a_wide_interval_is_undecided_and_not_tied() -> None:
    answer = column(sample_matrix(), "minilm", 1).answer
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.sentence == (
        "Not decided between onnxruntime and openvino: the difference may be up to 29 %; needs about 12 more trials, 40 s."
    )


def test_winner_that_was_not_compared_with_all_says_so() -> None:
    matrix = sample_matrix()
    best, other = (cell_of(matrix, label, "mobilenetv2", 1)["id"] for label in ("onnxruntime", "torch"))
    matrix["comparisons"] = [c for c in matrix["comparisons"] if {c["a"], c["b"]} != {best, other}]
    assert column(matrix, "mobilenetv2", 1).answer.sentence.endswith("; not decided against torch.")


def test_an_unstable_estimate_is_named_beside_the_answer() -> None:
    matrix = sample_matrix()
    cell_of(matrix, "ncnn", "mobilenetv2", 1)["stability"]["verdict"] = "unstable"
    assert column(matrix, "mobilenetv2", 1).answer.caveats.endswith("Unstable over the trials: ncnn.")


@pytest.mark.parametrize(("keep", "verdict"), [(1, Verdict.ALONE), (0, Verdict.NONE)])
def test_a_group_with_one_or_no_figure_claims_no_comparison(keep: int, verdict: Verdict) -> None:
    matrix = sample_matrix()
    for label in LABELS[keep:]:
        cell_of(matrix, label, "spam", 1).update(status="oom", reason="killed")
    answer = column(matrix, "spam", 1).answer
    assert answer.verdict is verdict
    assert "×" not in answer.headline
    assert ("nothing to compare" in answer.rest) == (verdict is Verdict.ALONE)


def test_ratio_is_turned_to_the_faster_cell_whichever_side_it_stands_on() -> None:
    matrix = sample_matrix()
    for raw in matrix["comparisons"]:
        raw["a"], raw["b"], raw["ratio"] = raw["b"], raw["a"], 1 / raw["ratio"]
        raw["ci"] = [1 / raw["ci"][1], 1 / raw["ci"][0]]
    assert column(matrix, "mobilenetv2", 1).answer == column(sample_matrix(), "mobilenetv2", 1).answer


def test_null_has_its_own_reason_or_that_of_what_it_is_part_of() -> None:
    raw = {"status": "ok", "metrics": {"latency_ms": {"p99": None}, "load_ms": None},
           "null_reasons": {"metrics.latency_ms": "too few samples", "phases.load_ms": "not seen"}}
    cell = CellView(anchor="c0", raw=raw)
    assert cell.shown("latency_ms.p99", Unit.MS).why == "too few samples"
    assert cell.shown("load_ms", Unit.MS).why == "not seen"
    assert cell.shown("packages", Unit.COUNT).why == NO_REASON


@given(st.sampled_from([float("nan"), float("inf"), "12", True, None, [], {}, 10**400]))
def test_what_is_no_finite_number_is_shown_as_missing(value: object) -> None:
    cell = CellView(anchor="c0", raw={"status": "ok", "metrics": {"load_ms": value}})
    assert cell.shown("load_ms", Unit.MS).text == "–"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["cells", "run", "hosts", "status", "metrics", "latency_ms", "p50", "ci95", "id",
                                         "label", "model", "batch", "tied_with", "comparisons", "a", "b", "ci", "best"]),
                        inner, max_size=5), max_leaves=30))
def test_a_matrix_of_any_shape_gives_a_view(value: Any) -> None:
    cells = value if isinstance(value, list) else [value]
    view = build_view({"cells": cells, "comparisons": cells})
    assert len(view.cells) == sum(isinstance(cell, dict) for cell in cells)
    for model in view.models:
        for one in model.columns:
            for of in View:
                interval_plot(one, of)


def test_plot_turns_logarithmic_only_where_the_spread_is_above_ten() -> None:
    matrix = sample_matrix()
    assert not interval_plot(column(matrix, "spam", 1), View.LATENCY).log
    slow = cell_of(matrix, "torch", "spam", 1)["metrics"]["latency_ms"]
    slow.update(p50=0.4, ci95=[0.39, 0.41])
    assert interval_plot(column(matrix, "spam", 1), View.LATENCY).log


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=8))
def test_marks_lie_in_order_within_the_plot(values: list[float]) -> None:
    cells = [{"id": str(i), "label": str(i), "status": "ok", "model": "m", "scenario": "offline",
              "metrics": {"latency_ms": {"p50": v, "ci95": [v * 0.9, v * 1.1]}}} for i, v in enumerate(values)]
    plot = interval_plot(build_view({"cells": cells}).models[0].columns[0], View.LATENCY)
    marks = [mark.x for mark in plot.marks if mark.x is not None]
    assert len(marks) == len(values)
    assert all(0 <= x <= 100 for x in (*marks, *(tick.x for tick in plot.ticks)))
    assert [x for _, x in sorted(zip(values, marks, strict=True))] == sorted(marks)
    assert 2 <= len(plot.ticks) <= 9
    for mark in plot.marks:
        if mark.low is not None and mark.high is not None and mark.x is not None:
            assert mark.low <= mark.x <= mark.high


def test_failed_cell_has_no_mark_but_stays_in_the_plot() -> None:
    marks = interval_plot(column(sample_matrix(), "resnet50", 1), View.LATENCY).marks
    assert [(mark.x is None, mark.text) for mark in marks][3] == (True, "wrong answer")


def test_cold_start_names_each_phase_or_why_it_is_missing() -> None:
    bar = cold_start(column(sample_matrix(), "spam", 1).cells[0])
    assert bar is not None
    assert [segment.name for segment in bar.segments] == ["container", "Python", "import", "load", "first inference"]
    assert sum(segment.width for segment in bar.segments) == pytest.approx(100, abs=0.5)
    assert dict(bar.missing) == {"convert": "it reads the ONNX file", "compile": "the backend compiles while it loads"}
