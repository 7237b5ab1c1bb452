"""Numbers within sentences; the runner's are the same as the orchestrator's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from orchestrator.counting import figure, several

SOURCE = Path(__file__).resolve().parents[1] / "runners" / "figures.py"


@pytest.mark.parametrize(("value", "digits", "shown"), [
    (3732.4, 3, "3,732"), (999.7, 3, "1,000"), (99.96, 3, "100"), (1.234, 3, "1.23"), (0.012149, 3, "0.0121"),
    (12345.6, 4, "12,346"),
    (0.0, 3, "0"), (float("inf"), 3, "inf"), (-0.5, 3, "-0.5"),
])
def test_figures_have_no_exponent(value: float, digits: int, shown: str) -> None:
    spec = importlib.util.spec_from_file_location("runner_figures", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    sys.modules.pop("runner_figures", None)
    assert figure(value, digits) == runner.figure(value, digits) == shown


def test_one_is_singular() -> None:
    assert (several(1, "trial"), several(0, "trial"), several(1200, "trial")) == ("1 trial", "0 trials", "1,200 trials")
    assert several(2, "process", "processes") == "2 processes"
