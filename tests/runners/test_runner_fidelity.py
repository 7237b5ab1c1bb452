"""The comparison with the reference, against what plain numpy says of the same arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

fidelity: Any = import_module("fidelity")

FINITE = st.floats(-1e6, 1e6, width=32)
ARRAYS = hnp.array_shapes(min_dims=2, max_dims=3, max_side=7).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=FINITE) for _ in range(2)])
)


def compare(reference: Any, output: Any) -> dict[str, Any]:
    comparison = fidelity.Comparison({"y": reference}, ["y"])
    comparison.add([output], np.arange(len(reference)), batched=True)
    result: dict[str, Any] = comparison.result()
    return result


@given(ARRAYS)
def test_numbers_agree_with_the_definitions(pair: Any) -> None:
    output, reference = pair
    found = compare(reference.astype(np.float64), output)
    a, b = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    assert found["checked"] == len(reference)
    assert found["max_abs"] == np.abs(a - b).max()
    if np.linalg.norm(b) > 0:
        assert found["rel_l2"] == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-9, abs=1e-300)
    if np.linalg.norm(a) > 1e-100 and np.linalg.norm(b) > 1e-100:
        assert found["cosine"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)
    if reference.shape[-1] >= 2:
        assert found["topk_agreement"] == np.mean(output.argmax(-1) == reference.argmax(-1))
    else:
        assert found["topk_agreement"] is None


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FINITE))
def test_the_reference_itself_is_perfect(reference: Any) -> None:
    found = compare(reference, reference)
    assert (found["max_abs"], found["rel_l2"], found["nan"], found["inf"]) == (0, 0, 0, 0)
    assert found["cosine"] == pytest.approx(1.0)


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    reference = generator.random((50, 10))
    output = reference + generator.random((50, 10)) * 1e-3
    whole = compare(reference, output)
    monkeypatch.setattr(fidelity, "BLOCK", 30)
    parts = compare(reference, output)
    assert parts["outputs"][0]["top5_agreement"] == whole["outputs"][0]["top5_agreement"]
    assert parts["rel_l2"] == pytest.approx(whole["rel_l2"], rel=1e-12)


def test_rows_are_compared_with_the_samples_they_came_from() -> None:
    reference = np.arange(12.0).reshape(4, 3)
    comparison = fidelity.Comparison({"y": reference}, ["y"])
    rows = np.array([3, 0, 1])
    comparison.add([reference[rows]], rows, batched=True)
    found = comparison.result()
    assert (found["max_abs"], found["checked"]) == (0, 3)


def test_only_what_the_reference_lacks_counts_as_nan_or_infinite() -> None:
    reference = np.array([[np.nan, np.inf, -np.inf, 1.0, 2.0]])
    same = compare(reference, reference.copy())
    assert (same["nan"], same["inf"], same["max_abs"]) == (0, 0, 0)
    odd = compare(reference, np.array([[0.0, -np.inf, np.nan, np.inf, 2.0]]))
    assert (odd["nan"], odd["inf"]) == (1, 2)


def test_all_nan_leaves_no_other_measure() -> None:
    found = compare(np.ones((2, 6)), np.full((2, 6), np.nan))
    assert found["nan"] == 12
    assert found["rel_l2"] is None
    assert found["topk_agreement"] is None


def test_integers_and_booleans_must_be_equal() -> None:
    found = compare(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]], np.int32))
    assert found["mismatch_fraction"] == 0.25
    assert found["rel_l2"] is None
    assert compare(np.array([True, False]), np.array([True, True]))["mismatch_fraction"] == 0.5
    assert compare(np.array([[1, 2]]), np.array([["a", "b"]]))["mismatch_fraction"] == 1.0


def test_the_worst_output_speaks_for_all() -> None:
    good, bad = np.ones((3, 8)), np.arange(24).reshape(3, 8)
    comparison = fidelity.Comparison({"good": good, "bad": bad, "off": good}, ["good", "bad", "off"])
    comparison.add([good, bad + (bad > 20), good * 1.5], np.arange(3), batched=True)
    found = comparison.result()
    assert found["rel_l2"] == pytest.approx(0.5)
    assert found["mismatch_fraction"] == pytest.approx(3 / 24)
    assert [output["name"] for output in found["outputs"]] == ["good", "bad", "off"]
    assert found["outputs"][0]["rel_l2"] == 0


def test_zeros_have_no_direction() -> None:
    assert compare(np.zeros((2, 3)), np.zeros((2, 3)))["cosine"] == 1.0
    against = compare(np.zeros((2, 3)), np.ones((2, 3)))
    assert (against["cosine"], against["rel_l2"], against["max_abs"]) == (0.0, None, 1.0)


def test_top5_counts_shared_winners() -> None:
    reference = np.arange(10.0)[None]
    output = reference.copy()
    output[0, 5] = -1  # the fifth best drops out
    found = compare(reference, output)
    assert found["topk_agreement"] == 1.0
    assert found["top5_agreement"] == pytest.approx(0.8)


def test_complex_outputs_are_compared_as_pairs() -> None:
    reference = np.array([[1 + 1j, 2 - 1j]])
    assert compare(reference, reference * 2)["rel_l2"] == pytest.approx(1.0)


def test_unbatched_outputs_lack_the_leading_dimension() -> None:
    comparison = fidelity.Comparison({"y": np.arange(6.0).reshape(2, 3)}, ["y"])
    comparison.add([np.arange(3.0)], np.array([0]), batched=False)
    assert comparison.result()["max_abs"] == 0
    comparison.add([np.arange(3.0)[None]], np.array([1]), batched=False)
    assert "shape [1, 3]" in comparison.result()["problem"]


def test_nothing_added_is_a_problem_not_a_perfect_score() -> None:
    assert fidelity.Comparison({"y": np.ones(3)}, ["y"]).result()["checked"] == 0


@given(ARRAYS, st.integers(1, 9))
def test_the_short_way_for_finite_numbers_is_the_long_way(pair: Any, batch: int) -> None:
    output, reference = pair

    def found() -> dict[str, Any]:
        comparison = fidelity.Comparison({"y": reference.astype(np.float64)}, ["y"])
        for first in range(len(reference)):
            rows = (np.arange(batch) + first) % len(reference)
            comparison.add([output[rows]], rows, batched=True)
        result: dict[str, Any] = comparison.result()
        return result

    short = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "_all_finite", lambda *_: False)
        assert found() == short


def test_rows_with_nan_have_no_winner_and_the_others_keep_theirs() -> None:
    generator = np.random.default_rng(0)
    reference = generator.random((4, 3, 8))
    output = reference.copy()
    output[2, 1, 5] = np.nan
    output[0, 0] = output[0, 0, ::-1]
    agreeing = output.argmax(-1) == reference.argmax(-1)
    agreeing = np.delete(agreeing.ravel(), 2 * 3 + 1)
    assert compare(reference, output)["topk_agreement"] == np.mean(agreeing)
