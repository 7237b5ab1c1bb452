"""Work must grow as its input does; counted in calls of functions, which do not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks import records, scaling
from orchestrator.backends import load_registry
from orchestrator.config.matrix import load_matrix
from orchestrator.merge.matrix import merge
from orchestrator.plan.plan import make_plan
from orchestrator.report.html import render_html

LINEAR = 6.0  # times the calls for five times the input, at most; n log n would be 5.9 here, a quadratic step 25


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, are called meanwhile."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_five_times_the_cells_take_five_times_the_calls_to_plan(tmp_path: Path) -> None:
    registry = load_registry(scaling.ROOT / "images")

    def planning(cells: int) -> Callable[[], int]:
        path, models = scaling.plan_file(tmp_path, cells)

        def work() -> int:
            plan = make_plan(load_matrix(path, registry, models=models, machine=scaling.MACHINE), registry)
            return len({cell.id for cell in plan.cells})

        return work

    planning(200)()  # what is done once only
    assert (planning(1_000)(), planning(5_000)()) == (1_000, 5_000)
    assert calls(planning(5_000)) < LINEAR * calls(planning(1_000))


def test_five_times_the_records_take_five_times_the_calls_to_merge_and_to_show() -> None:
    few, many = ((planned, list(records.records(planned))) for planned in (records.cells(1), records.cells(5)))

    def merging(of: tuple[list[Any], list[dict[str, Any]]]) -> Callable[[], dict[str, Any]]:
        return lambda: merge({"id": "r"}, of[1], of[0], asked=records.TRIALS)

    small, large = merging(few)(), merging(many)()
    render_html(small)
    assert calls(merging(many)) < LINEAR * calls(merging(few))
    assert calls(lambda: render_html(large)) < LINEAR * calls(lambda: render_html(small))


@pytest.mark.parametrize(("power", "expected"), [(1.0, 1.0), (2.0, 2.0)])
def test_the_exponent_is_the_slope(power: float, expected: float) -> None:
    points = [scaling.Point(size=size, cpu_s=1e-6 * size**power, wall_s=0.0) for size in (100, 300, 1_000)]
    assert scaling.exponent(points) == pytest.approx(expected)
