"""tract: one thread whatever it is asked for, and said so; symbols in shapes; what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import Strange, embedding, opset7, spatial, unknown

pytestmark = pytest.mark.slow


def prepared(make: Callable[[], Strange], folder: Path) -> tuple[Prepared, Path]:
    model = make()
    path = model.write(folder / "model")
    return Prepared(folder=folder / "model", input_order=list(model.inputs), batchable=True, output_order=["y"]), path


@pytest.mark.parametrize("threads", [1, 2])
def test_it_says_one_thread_however_many_it_is_given(threads: int, runner: Runner, tmp_path: Path) -> None:
    model, path = prepared(opset7, tmp_path)
    result = runner.trial("tract", model, path, batches=(1, 3), threads=threads)
    is_right(result)
    detail = result["evidence"]["detail"]
    assert (detail["threads"], detail["threads_asked"]) == (1, threads)
    assert set(detail["arithmetic"]) == {"fp32"}
    assert sum(detail["operators"].values()) > 0


@pytest.mark.parametrize(("static", "compiled"), [(True, 2), (False, 1)])
def test_it_compiles_once_for_each_batch_or_once_for_all(static: bool, compiled: int, runner: Runner, tmp_path: Path) -> None:
    model, path = prepared(opset7, tmp_path)
    result = runner.trial("tract", model, path, batches=(1, 3), settings={"static_batch": static})
    is_right(result)
    assert result["evidence"]["detail"]["compiled"] == compiled


@pytest.mark.parametrize("make", [embedding, spatial])
def test_named_dimensions_get_their_sizes_wherever_the_name_stands(
        make: Callable[[], Strange], runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(make, "tract", runner, tmp_path, converts=False))


def test_an_operator_of_nobody_s_is_refused_by_name(runner: Runner, tmp_path: Path) -> None:
    assert "Frobnicate" in refusal(outcome(unknown, "tract", runner, tmp_path, converts=False))
