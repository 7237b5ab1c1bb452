"""TensorRT-RTX without a GPU: engines are really built; loading one is refused with the driver's reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.gpus import read_gpus
from tests.adapters.jobs import Prepared, Runner

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture
def rtx(runner: Runner) -> Runner:
    """Its two environments are locked to the same packages: one serves for both."""
    return Runner(python=lambda _name: runner.python("tensorrt_rtx"), scratch=runner.scratch)


def product(folder: Path, operator: str = "MatMul", domain: str = "") -> Prepared:
    """y = x · w, with a batch that is left open."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], domain=domain)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.ones((3, 4), dtype=np.float32), "w")])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    np.savez(folder / "inputs.npz", x=np.ones((16, 3), dtype=np.float32))
    np.savez(folder / "reference.npz", y=np.full((16, 4), 3.0))
    return Prepared(folder=folder, input_order=["x"], output_order=["y"], batchable=True)


def test_an_engine_is_built_without_a_gpu_and_refused_by_what_has_none(rtx: Runner, tmp_path: Path) -> None:
    model = product(tmp_path)
    path, result = rtx.convert("tensorrt_rtx", model)
    assert path is not None, result["failure"]
    assert path.stat().st_size > 1000
    assert result["phases"]["convert_ms"] > 0
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    failure = rtx.trial("tensorrt_rtx", model, path, batches=(1,), device="cuda")["failure"]
    assert (failure["phase"], failure["kind"]) == ("load", "unsupported")
    assert "CUDA driver" in failure["message"]


def test_tf32_is_another_engine_than_fp32(rtx: Runner, tmp_path: Path) -> None:
    paths = [rtx.convert("tensorrt_rtx", product(tmp_path), precision=precision)[0] for precision in ("fp32", "tf32")]
    assert all(paths)
    assert len({path.read_bytes() for path in paths if path}) == 2


def test_an_operator_that_it_has_not_is_named(rtx: Runner, tmp_path: Path) -> None:
    path, result = rtx.convert("tensorrt_rtx", product(tmp_path, "Frobnicate", "org.example"))
    assert path is None
    assert result["failure"]["kind"] == "unsupported"
    assert "Frobnicate" in result["failure"]["message"]
