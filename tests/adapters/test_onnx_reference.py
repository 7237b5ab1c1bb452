"""ONNX's reference evaluator: whatever the specification has, and nothing made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Runner
from tests.adapters.strange import (
    Strange,
    boolean,
    branch,
    double,
    embedding,
    external,
    half,
    indices,
    loop,
    opset7,
    opset21,
    scalar,
    several,
    unknown,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "make", [branch, loop, embedding, boolean, half, double, several, scalar, external, opset21, indices])
def test_it_runs_what_the_specification_has(make: Callable[[], Strange], runner: Runner, tmp_path: Path) -> None:
    result = outcome(make, "onnx_reference", runner, tmp_path, converts=False)
    is_right(result)
    detail = result["evidence"]["detail"]
    assert result["evidence"]["executed_on"] == ["numpy"]
    assert detail["threads"] == 2
    assert detail["result_types"]
    assert detail["operators"]


def test_what_the_evaluator_itself_has_wrong_is_said_with_the_operator_s_name(runner: Runner, tmp_path: Path) -> None:
    # BatchNormalization of opset 7 gives it a tuple in a tuple; the day it does not, this is one of those above.
    result = outcome(opset7, "onnx_reference", runner, tmp_path, converts=False)
    assert {cell["status"] for cell in result["cells"]} == {"unsupported"}
    assert "BatchNormalization" in result["cells"][0]["reason"]


def test_an_operator_of_nobody_s_is_refused_by_name(runner: Runner, tmp_path: Path) -> None:
    assert "Frobnicate" in refusal(outcome(unknown, "onnx_reference", runner, tmp_path, converts=False))
