"""ONNX Runtime's GPU providers where there is no GPU: silence becomes `fallback`, and what does not need one is right."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.classify import classify
from orchestrator.gpus import read_gpus
from orchestrator.model import Ending, Outcome, Status
from tests.adapters.jobs import RUNNERS, BackendPython, Prepared, Runner

BOTH = ["onnxruntime_cuda", "onnxruntime_tensorrt"]
SPLIT = "not all of it ran on the GPU: 2 × Conv, 1 × Gemm ran on CPUExecutionProvider"
# Run in an environment of the CPU's onnxruntime: the code of the GPU's adapters that does not depend on a GPU.
PURE = f"""
import sys; sys.path.insert(0, {str(RUNNERS)!r})
import numpy as np
from adapters.base import Params
from adapters.onnxruntime_cuda import Adapter, because, cuda_options, left_behind
from adapters.onnxruntime_tensorrt import profile_shapes, tensorrt_options

wanted = ("CUDAExecutionProvider",)
gpu = {{"CUDAExecutionProvider": {{"Conv": 9}}}}
assert left_behind({{**gpu, "CPUExecutionProvider": {{"Mul": 3, "ReduceProd": 1}}}}, wanted) is None
said = left_behind({{**gpu, "CPUExecutionProvider": {{"Gemm": 1, "Conv": 2, "Add": 5}}}}, wanted)
assert said == {SPLIT!r}, said
# TF32 is the provider's default: fp32 has to switch it off.
assert [cuda_options(Params(precision=p))["use_tf32"] for p in ("fp32", "tf32", "fp16")] == ["0", "1", "0"]
samples = {{"ids": np.zeros((16, 128)), "mask": np.zeros((16, 1, 1, 128))}}
shapes = profile_shapes(samples, ("ids", "mask"), (1, 8))
assert shapes["trt_profile_min_shapes"] == "ids:1x128,mask:1x1x1x128", shapes
assert shapes["trt_profile_max_shapes"] == shapes["trt_profile_opt_shapes"] == "ids:8x128,mask:8x1x1x128", shapes
params = Params(precision="int8", batchable=True, batches=(1, 8), samples=samples, input_order=("ids", "mask"))
options = tensorrt_options(params, "/kept")
assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("1", "0")
assert options["trt_engine_cache_path"] == "/kept" and "trt_profile_min_shapes" in options
assert not any(name.startswith(("trt_engine_cache", "trt_timing")) for name in tensorrt_options(params, ""))


class OnCpu(Adapter):
    CHAIN = ("CPUExecutionProvider",)
    PLACE = "cpu"

    def _providers(self):
        return ["CPUExecutionProvider"]


adapter = OnCpu()
adapter.load(sys.argv[1], Params(device="cuda", threads=1, input_order=("x",), output_order=("y",)))
x = np.arange(6, dtype=np.float32).reshape(2, 3)
(stays,) = adapter.predict_on_device(adapter.to_device({{"x": x}}))
assert np.array_equal(stays.numpy(), adapter.predict({{"x": x}})[0])
print("as it should be")
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """y = x · w, with a batch that is left open."""
    folder = tmp_path_factory.mktemp("product")
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((3, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    inputs = rng.standard_normal((16, 3)).astype(np.float32)
    np.savez(folder / "inputs.npz", x=inputs)
    np.savez(folder / "reference.npz", y=inputs.astype(np.float64) @ weights.astype(np.float64))
    return Prepared(folder=folder, input_order=["x"], output_order=["y"], batchable=True)


def shared(runner: Runner) -> Runner:
    """Both rows are locked to the same packages (a test below holds them to it): 430 MB that need not be there twice."""
    return Runner(python=lambda _name: runner.python("onnxruntime_cuda"), scratch=runner.scratch)


def locked(*environment: str) -> tuple[str, ...]:
    """The lines of a lock but for its heading."""
    lock = RUNNERS.parent.joinpath("images", *environment, "lock-cp311-x86_64.txt")
    return tuple(line for line in lock.read_text().splitlines() if line[0] != "#")


def test_rows_of_the_same_packages_are_locked_to_the_same() -> None:
    assert locked("onnxruntime_cuda") == locked("onnxruntime_tensorrt")
    assert len({locked(name, "converter") for name in ("onnxruntime", *BOTH)}) == 1


@pytest.mark.slow
def test_what_the_gpu_adapters_decide_needs_no_gpu(backend_python: BackendPython, product: Prepared) -> None:
    done = subprocess.run([backend_python("onnxruntime"), "-c", PURE, str(product.folder / "model.onnx")], capture_output=True,
                          text=True, check=False, timeout=120)
    assert done.stdout.endswith("as it should be\n"), done.stderr


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize("backend", BOTH)
def test_a_provider_that_cannot_load_is_a_fallback_that_names_what_is_missing(
        backend: str, runner: Runner, product: Prepared) -> None:
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    result = shared(runner).trial(backend, product, product.folder / "model.onnx", batches=(1, 8), device="cuda")
    assert result["evidence"]["executed_on"] == ["CPUExecutionProvider"]
    ended = Outcome(
        ending=Ending.EXITED, exit_code=0, wall_s=1.0, oom_killed=False, log_tail="", started="2026-01-01T00:00:00Z",
        container_start_ms=None, result_file=None, events=())
    verdicts = classify(["b1", "b8"], ended, result, None, {"rel_l2": 1e-3})
    assert {verdict.status for verdict in verdicts.values()} == {Status.FALLBACK}
    for verdict in verdicts.values():
        assert "ExecutionProvider is not available (libcublas" in str(verdict.reason)
        assert "the session runs on CPUExecutionProvider" in str(verdict.reason)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize("backend", BOTH)
def test_a_cpu_is_not_what_these_backends_are_for(backend: str, runner: Runner, product: Prepared) -> None:
    failure = shared(runner).trial(backend, product, product.folder / "model.onnx", batches=(1,), device="cpu")["failure"]
    assert failure["kind"] == "unsupported"
    assert "not on cpu" in failure["message"]


@pytest.mark.slow
def test_int8_for_tensorrt_has_its_zero_points_at_zero(runner: Runner, product: Prepared) -> None:
    same = Runner(python=lambda _name: runner.python("onnxruntime/converter"), scratch=runner.scratch)

    def zero_points(backend: str) -> list[Any]:
        path, result = same.convert(backend, product, precision="int8")
        assert path is not None, result["failure"]
        graph = onnx.load(path).graph
        names = {node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"}
        return [int(value) for one in graph.initializer if one.name in names for value in numpy_helper.to_array(one).ravel()]

    assert set(zero_points("onnxruntime_tensorrt")) == {0}
    assert set(zero_points("onnxruntime")) != {0}  # else the first line shows nothing
