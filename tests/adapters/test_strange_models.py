"""Files that no one has prepared anything for: right answers or a plain "unsupported", never a crash, never nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import ALL, Strange

pytestmark = pytest.mark.slow
CONVERTING = ("torch", "ncnn")
# What a backend lacks, by a word of the reason that it has to give.
LACKS = {
    "onnxruntime": {"unknown": "Frobnicate"},
    "openvino": {"unknown": "Frobnicate"},
    "torch": {"unknown": "Frobnicate", "branch": "operator If", "loop": "operator Loop"},
    "ncnn": {"unknown": "Frobnicate", "branch": "If has a subgraph", "loop": "Loop has a subgraph", "boolean": "bool",
             "scalar": "scalar", "fixed": "first axis", "opset21": "layer_norm", "indices": "none that ncnn has"},
}
TOLERANCE = 1e-3


@pytest.mark.parametrize("backend", LACKS)
@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_a_model_is_run_rightly_or_refused_in_a_sentence(
        make: Callable[[], Strange], backend: str, runner: Runner, tmp_path: Path) -> None:
    model = make()
    path: Path | None = model.write(tmp_path / "model")
    prepared = Prepared(folder=tmp_path / "model", input_order=list(model.inputs), batchable=model.batchable,
                        output_order=[output.name for output in model.model.graph.output])
    result: dict[str, Any] = {}
    if backend in CONVERTING:
        path, result = runner.convert(backend, prepared)
    batches = (1, 3) if model.batchable else (1,)
    if path is not None:
        result = runner.trial(backend, prepared, path, batches=batches)
    if model.name in LACKS[backend]:
        assert result["failure"]["kind"] == "unsupported"
        assert LACKS[backend][model.name] in result["failure"]["message"]
        return
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok"] * len(batches)
    assert all(cell["fidelity"]["rel_l2"] < TOLERANCE for cell in result["cells"])
    assert result["evidence"]["fallback"] is None
