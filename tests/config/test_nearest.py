from __future__ import annotations

import pytest

from orchestrator.config.nearest import did_you_mean, listed, nearest


@pytest.mark.parametrize(
    ("word", "match"),
    [("bacth", "batch"), ("BATCH", "batch"), ("onnxrutnime", "onnxruntime"), ("onnx", "onnxruntime"), ("zzz", None), ("", None)],
)
def test_the_nearest_option_is_found_or_none_is_invented(word: str, match: str | None) -> None:
    assert nearest(word, ["batch", "threads", "onnxruntime"]) == match


def test_the_question_ends_a_sentence_or_is_left_out() -> None:
    assert did_you_mean("bacth", ["batch"]) == "; did you mean `batch`?"
    assert did_you_mean("x", ["batch"]) == ""


def test_long_lists_are_cut() -> None:
    assert listed(range(22)).endswith("18, 19 and 2 more")
    assert listed(["a", 1]) == "a, 1"
