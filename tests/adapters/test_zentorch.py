"""zentorch: its operators are really in what ran, or the cell says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.jobs import Runner

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.mark.parametrize("mode", ["compile", "aot"])
def test_the_executed_operators_are_zentorchs_own_and_others_processors_are_refused(mode: str, runner: Runner) -> None:
    digits = runner.export("digits")
    settings = {"mode": mode, "freezing": True}
    result = runner.trial("zentorch", digits, digits.folder / "model.pt2", batches=(1, 8), settings=settings)
    if "AuthenticAMD" not in Path("/proc/cpuinfo").read_text():
        assert result["failure"]["kind"] == "unsupported"
        return
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["failure"]
    assert sum(result["evidence"]["detail"]["zentorch_operators"].values()) > 0
    assert result["evidence"]["detail"]["threads"] == 2
