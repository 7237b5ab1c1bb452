"""TensorRT-RTX without a GPU: engines are really built; loading one is refused with the driver's reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.gpus import read_gpus
from tests.adapters.jobs import RUNNERS, Prepared, Runner

HALF = f"""
import sys; sys.path.insert(0, {str(RUNNERS)!r})
import tensorrt_rtx_bindings as rtx
from cuda.bindings import runtime
from adapters.cuda_memory import Cuda, CudaError

for name in ("cudaStreamCreate", "cudaStreamSynchronize", "cudaMalloc", "cudaFree", "cudaMemcpyAsync", "cudaGetErrorString",
             "cudaGetDeviceProperties"):
    assert callable(getattr(runtime, name)), name
assert runtime.cudaMemcpyKind.cudaMemcpyHostToDevice.name == "cudaMemcpyHostToDevice"
assert int(runtime.cudaError_t.cudaSuccess) == 0 and int(runtime.cudaError_t.cudaErrorMemoryAllocation) == 2
for name in ("num_io_tensors", "num_layers", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype",
             "create_execution_context"):
    assert hasattr(rtx.ICudaEngine, name), name
for name in ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3"):
    assert hasattr(rtx.IExecutionContext, name), name
assert rtx.TensorIOMode.INPUT != rtx.TensorIOMode.OUTPUT and rtx.nptype(rtx.float16).__name__ == "float16"
try:
    Cuda()
except CudaError as error:
    print("CudaError:", error)
"""
pytestmark = [pytest.mark.slow, pytest.mark.heavy]


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


def test_an_engine_is_built_without_a_gpu_and_refused_by_what_has_none(runner: Runner, tmp_path: Path) -> None:
    model = product(tmp_path)
    path, result = runner.convert("tensorrt_rtx", model)
    assert path is not None, result["failure"]
    assert path.stat().st_size > 1000
    assert result["phases"]["convert_ms"] > 0
    assert result["artifact"]["format"] == "tensorrt_rtx"  # what the backend says that it loads
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    failure = runner.trial("tensorrt_rtx", model, path, batches=(1,), device="cuda")["failure"]
    assert (failure["phase"], failure["kind"]) == ("load", "unsupported")
    assert "CUDA driver" in failure["message"]


def test_each_precision_is_another_engine(runner: Runner, tmp_path: Path) -> None:
    """fp16 and int8 are files converted by ONNX Runtime's tools first: its networks are typed as the file is."""
    found = {}
    for precision in ("fp32", "tf32", "fp16", "int8"):
        path, result = runner.convert("tensorrt_rtx", product(tmp_path), precision=precision)
        assert path is not None, (precision, result["failure"])
        found[precision] = path.read_bytes()
    assert len(set(found.values())) == 4


def test_a_capability_that_it_has_not_is_refused(runner: Runner, tmp_path: Path) -> None:
    _, result = runner.convert("tensorrt_rtx", product(tmp_path), settings={"compute_capability": "SM10"})
    assert result["failure"]["kind"] == "unsupported"
    assert "'SM10'" in result["failure"]["message"]


def test_what_runs_an_engine_is_there_and_says_that_there_is_no_gpu(runner: Runner) -> None:
    """NVIDIA's own bindings, as far as they go without a driver: every function that the adapter calls; one is called."""
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    done = subprocess.run([runner.python("tensorrt_rtx"), "-c", HALF], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.startswith("CudaError: cudaStreamCreate: "), done.stderr


def test_an_operator_that_it_has_not_is_named(runner: Runner, tmp_path: Path) -> None:
    path, result = runner.convert("tensorrt_rtx", product(tmp_path, "Frobnicate", "org.example"))
    assert path is None
    assert result["failure"]["kind"] == "unsupported"
    assert "Frobnicate" in result["failure"]["message"]
