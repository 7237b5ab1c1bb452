"""Whose outputs become the reference, and what is said when one engine fails."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from orchestrator.errors import ModelError
from orchestrator.models.agreement import differing, relative_l2, variation
from orchestrator.models.guard import run_module
from orchestrator.models.npzfile import write_npz
from orchestrator.models.referee import ENGINE, EVALUATOR, Budget, Question, compute_reference, dependence_notes
from tests.models.onnxbuild import SaveModel

F = TensorProto.FLOAT


def question(model: Path, work: Path, rows: int = 5) -> Question:
    work.mkdir()
    write_npz(work / "inputs.npz", {"x": np.random.default_rng(1).standard_normal((rows, 4)).astype(np.float32)})
    return Question(model=model, inputs=work / "inputs.npz", outputs=work / "o.npz", work=work, output_names=["y"],
                    batchable=True, fixed_batch=1, size=1000, agreement=1e-2)


def quiet(_text: str) -> None:
    pass


def test_float64_where_both_run(linear: Path, tmp_path: Path) -> None:
    answer = compute_reference(question(linear, tmp_path / "w"), Budget(), quiet)
    assert answer.source == EVALUATOR
    assert answer.outputs["y"].shape == (5, 3)
    assert answer.notes == ()


@pytest.mark.parametrize(("budget", "why"), [
    (Budget(evaluator_s=1e-3), "longer than"), (Budget(evaluator_max_bytes=10), "GB")])
def test_float32_where_float64_costs_too_much(linear: Path, tmp_path: Path, budget: Budget, why: str) -> None:
    answer = compute_reference(question(linear, tmp_path / "w"), budget, quiet)
    assert answer.source == ENGINE
    assert why in answer.notes[0]


def test_large_outputs_leave_fewer_samples_but_never_one(linear: Path, tmp_path: Path) -> None:
    answer = compute_reference(question(linear, tmp_path / "w"), Budget(max_output_bytes=1), quiet)
    assert answer.outputs["y"].shape == (2, 3)


def test_engines_that_disagree_are_told_apart(save_model: SaveModel, tmp_path: Path) -> None:
    # 1e8 + x - 1e8 loses x in float32 only.
    path = save_model([helper.make_node("Add", ["x", "big"], ["t"]), helper.make_node("Sub", ["t", "big"], ["y"])],
                      [("x", F, ["N", 4])], [("y", F, ["N", 4])], {"big": np.float32(1e8)})
    answer = compute_reference(question(path, tmp_path / "w"), Budget(), quiet)
    assert answer.source == ENGINE
    assert "disagree on 'y'" in answer.notes[0]


def test_neither_engine_gives_one_sentence_with_both_reasons(save_model: SaveModel, tmp_path: Path) -> None:
    path = save_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["N", 3])],
                      {"w": np.ones((5, 3), np.float32)})
    with pytest.raises(ModelError, match="cannot be run") as caught:
        compute_reference(question(path, tmp_path / "w"), Budget(), quiet)
    assert "--shape" in caught.value.hint
    assert "--inputs" in caught.value.hint


def test_rows_that_influence_each_other_are_reported_without_outputs(save_model: SaveModel, tmp_path: Path) -> None:
    path = save_model([helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])],
                      [("x", F, ["N", 4])], [("y", F, ["N", 4])])
    answer = compute_reference(question(path, tmp_path / "w"), Budget(), quiet)
    assert "influence each other" in (answer.batch_error or "")
    assert compute_reference(replace(question(path, tmp_path / "v"), batchable=False), Budget(), quiet).outputs


def test_a_child_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    started = time.monotonic()
    ended = run_module("http.server", ["--bind", "127.0.0.1", "0"], deadline_s=0.5, memory_bytes=10**10,
                       log=tmp_path / "log")
    assert "longer than 0.5 s" in (ended.killed_for or "")
    assert time.monotonic() - started < 60


def test_a_child_that_eats_memory_is_ended(tmp_path: Path) -> None:
    # The interpreter alone needs more than a megabyte.
    ended = run_module("http.server", ["--bind", "127.0.0.1", "0"], deadline_s=60, memory_bytes=10**6,
                       log=tmp_path / "log")
    assert "memory" in (ended.killed_for or "")


def test_a_child_that_fails_leaves_its_last_words(tmp_path: Path) -> None:
    ended = run_module("no_such_module_anywhere", [], deadline_s=60, memory_bytes=10**10, log=tmp_path / "log")
    assert ended.exit_code == 1
    assert "no_such_module_anywhere" in ended.tail
    assert sys.executable in ended.tail


def test_distances() -> None:
    one = np.array([3.0, 4.0])
    assert relative_l2(one, one) == 0
    assert relative_l2(np.array([3.0, 4.5]), one) == pytest.approx(0.1)
    assert relative_l2(np.array([3.0, np.nan]), one) == np.inf
    assert relative_l2(np.array([3.0, np.inf]), np.array([3.0, np.inf])) == 0
    assert differing([np.array([1, 2])], [np.array([1, 3])])
    assert not differing([one], [one])
    assert variation(np.array([[1.0, 2], [1, 2]])) == 0
    assert variation(np.array([[1.0], [-1.0]])) == pytest.approx(1)


def test_what_makes_a_comparison_worthless_is_said() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 9))
    assert dependence_notes({"y": rows}) == ()
    assert "hardly depend" in dependence_notes({"y": 5 + 1e-6 * rows})[0]
    assert dependence_notes({"constant": np.ones((4, 2)), "y": rows}) == ()
    assert "25.0% of the reference is NaN" in dependence_notes({"y": np.array([[np.nan, 1], [2, 3]])})[0]
