from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.fidelity import DEFAULT_TOLERANCE, tolerance_for, wrong_answer_reason

GOOD = {"max_abs": 1e-5, "rel_l2": 1e-6, "cosine": 1.0, "nan": 0, "inf": 0, "checked": 16}


def test_outputs_within_tolerance_are_right() -> None:
    assert wrong_answer_reason(GOOD, {}) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rel_l2": 2e-3}, "rel_l2"), ({"cosine": 0.9}, "cosine"), ({"nan": 3}, "3 NaN"), ({"inf": 1}, "infinite"),
        ({"checked": 0}, "compared"), ({"checked": 0, "problem": "the shape is (1, 2), not (1, 3)"}, "shape"),
        ({"mismatch_fraction": 0.5}, "mismatch"),
    ],
)
def test_the_reason_names_what_is_off(change: dict[str, object], word: str) -> None:
    assert word in (wrong_answer_reason({**GOOD, **change}, {}) or "")


def test_a_model_s_own_tolerance_counts() -> None:
    assert wrong_answer_reason({**GOOD, "rel_l2": 2e-3}, {"rel_l2": 1e-2}) is None
    assert wrong_answer_reason({**GOOD, "max_abs": 1e-5}, {"max_abs": 1e-6}) is not None


def test_nothing_measured_is_no_pass() -> None:
    assert wrong_answer_reason(None, {})
    assert wrong_answer_reason({"checked": 4}, {})


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_worse_output_is_never_right_where_a_better_one_is_wrong(one: float, other: float) -> None:
    better, worse = sorted((one, other))
    if wrong_answer_reason({**GOOD, "rel_l2": better}, {}):
        assert wrong_answer_reason({**GOOD, "rel_l2": worse}, {})


def test_outputs_of_a_random_model_need_only_exist_in_the_right_shape() -> None:
    far = {"rel_l2": 0.94, "cosine": 0.4, "nan": 0, "inf": 0, "checked": 16}
    assert wrong_answer_reason(far, {}, "the model is random") is None
    assert wrong_answer_reason({"checked": 0, "problem": "output 'y' has shape [2]"}, {}, "the model is random") is not None


def test_fewer_bits_are_given_more_room() -> None:
    fp32, own = tolerance_for("fp32", {}, {}), {"rel_l2": 1e-3, "cosine": 0.999}
    assert fp32 == dict(DEFAULT_TOLERANCE)
    limits = [tolerance_for(name, own, {})["rel_l2"] for name in ("fp32", "fp16", "bf16", "int8")]
    assert limits == sorted(limits)
    assert len(set(limits)) == 4
    assert wrong_answer_reason({**GOOD, "rel_l2": 0.09}, tolerance_for("int8", own, {})) is None
    assert wrong_answer_reason({**GOOD, "rel_l2": 0.11}, tolerance_for("int8", own, {})) is not None
    assert wrong_answer_reason({**GOOD, "rel_l2": 0.09}, tolerance_for("bf16", own, {})) is not None


def test_a_delicate_model_is_one_in_any_precision() -> None:
    own = {"rel_l2": 0.06, "cosine": 0.9}
    assert tolerance_for("bf16", own, {})["rel_l2"] == 0.06
    assert tolerance_for("bf16", own, {})["cosine"] == 0.9
    assert tolerance_for("int8", own, {})["rel_l2"] == 0.1
    # An absolute limit was meant for fp32: nothing says how it would grow.
    assert "max_abs" not in tolerance_for("int8", {"max_abs": 1e-4}, {})
    assert tolerance_for("fp32", {"max_abs": 1e-4}, {})["max_abs"] == 1e-4


def test_what_was_set_for_a_precision_holds_whatever_the_others_say() -> None:
    limits = tolerance_for("int8", {"rel_l2": 0.5}, {"int8": {"rel_l2": 0.02}, "bf16": {"rel_l2": 0.3}})
    assert limits["rel_l2"] == 0.02
    assert limits["cosine"] == 0.99


def test_answers_can_be_required_to_agree() -> None:
    limits = tolerance_for("int8", {}, {"int8": {"topk_agreement": 0.9}})
    assert wrong_answer_reason({**GOOD, "topk_agreement": 0.95}, limits) is None
    assert "top-1 agreement" in (wrong_answer_reason({**GOOD, "topk_agreement": 0.85}, limits) or "").replace("_", " ")


@given(st.sampled_from(["fp32", "tf32", "fp16", "bf16", "int8"]), st.floats(1e-6, 1), st.floats(-1, 1))
def test_no_precision_is_held_more_strictly_than_fp32(precision: str, rel: float, cosine: float) -> None:
    own = {"rel_l2": rel, "cosine": cosine}
    fp32, other = tolerance_for("fp32", own, {}), tolerance_for(precision, own, {})
    assert other["rel_l2"] >= fp32["rel_l2"]
    assert other["cosine"] <= fp32["cosine"]
