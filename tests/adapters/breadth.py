"""What the tests of single backends share: strange files through converter and runner, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import Strange


def outcome(make: Callable[[], Strange], backend: str, runner: Runner, folder: Path, *, converts: bool) -> dict[str, Any]:
    """The result of a trial, or that of the conversion where there was nothing to try."""
    model = make()
    path: Path | None = model.write(folder / "model")
    prepared = Prepared(folder=folder / "model", input_order=list(model.inputs), batchable=model.batchable,
                        output_order=[output.name for output in model.model.graph.output])
    if converts:
        path, result = runner.convert(backend, prepared)
        if path is None:
            return result
    assert path is not None
    return runner.trial(backend, prepared, path, batches=(1, 3) if model.batchable else (1,))


def is_right(result: dict[str, Any], tolerance: float = 1e-3) -> None:
    """Every cell ok, near the reference, on the device that was asked for."""
    assert result["failure"] is None, result["failure"]
    for cell in result["cells"]:
        assert cell["status"] == "ok", cell["reason"]
        assert cell["fidelity"]["rel_l2"] < tolerance, cell["fidelity"]
    assert result["evidence"]["fallback"] is None
    assert result["evidence"]["device"] == "cpu"


def refusal(result: dict[str, Any]) -> str:
    """The sentence of one that was refused as a whole."""
    assert result["failure"] is not None, result["cells"]
    assert result["failure"]["kind"] == "unsupported", result["failure"]
    return str(result["failure"]["message"])
