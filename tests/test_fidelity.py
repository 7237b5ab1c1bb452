from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.fidelity import wrong_answer_reason

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
