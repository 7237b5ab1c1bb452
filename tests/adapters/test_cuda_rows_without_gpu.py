"""PyTorch, JAX and TensorFlow asked for a GPU where there is none: a `fallback` that says why, in the CPU rows' environments.

Under `interpreter` isolation a user's own environment takes their place; that they compute rightly on a GPU is not shown here.
"""

from __future__ import annotations

import subprocess

import pytest

from orchestrator.gpus import read_gpus
from tests.adapters.jobs import RUNNERS, BackendPython, Runner
from tests.adapters.smallnets import convolutional

pytestmark = pytest.mark.slow
HEAVY = pytest.mark.heavy
ROWS = [
    ("torch_cuda", "torch", "is built without CUDA: it would run on the CPU"),
    pytest.param("jax_cuda", "jax", "JAX has no CUDA here and would run on the CPU: no plugin for it is installed", marks=HEAVY),
    pytest.param("tensorflow_gpu", "tensorflow", "is built without CUDA: it would run on the CPU", marks=HEAVY),
]
# What PyTorch's GPU adapter does beside the device, with the CPU as the device.
TORCH = f"""
import sys; sys.path.insert(0, {str(RUNNERS)!r})
import numpy as np, torch
from adapters import torch as plain, torch_cuda
from adapters.base import Params
from torch.export.passes import move_to_device_pass


class OnCpu(torch_cuda.Adapter):
    PLACE = "cpu"
    _accept = plain.Adapter._accept


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) + torch.ones(4, 1, 1)


program = torch.export.export(Net().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({{0: torch.export.Dim("n", min=1)}},))
torch.export.save(program, sys.argv[1])
moved = move_to_device_pass(torch.export.load(sys.argv[1]), "meta")  # a device that is not the CPU, and is always there
assert {{tensor.device.type for tensor in moved.state_dict.values()}} == {{"meta"}}
assert moved.module(check_guards=False)(torch.zeros(2, 3, 8, 8, device="meta")).device.type == "meta"
x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
for precision, last in (("fp32", False), ("tf32", True), ("fp16", False), ("bf16", True)):
    adapter = OnCpu()
    adapter.load(sys.argv[1], Params(precision=precision, device="cpu", threads=1, input_order=("x",), output_order=("y",),
                                     batches=(2,), settings={{"channels_last": last}}))
    (there,) = adapter.predict_on_device(adapter.to_device({{"x": x}}))
    (here,) = adapter.predict({{"x": x}})
    assert np.array_equal(there.numpy(), here) and here.dtype == np.float32, precision
print("as it should be")
"""


@pytest.mark.parametrize(("row", "environment", "said"), ROWS)
def test_a_framework_without_cuda_is_a_fallback_that_says_so(
        row: str, environment: str, said: str, runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> None:
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    model = convolutional(tmp_path_factory.mktemp("net"))
    same = Runner(python=lambda _name: runner.python(environment), scratch=runner.scratch)
    failure = same.trial(row, model, model.folder / "model.onnx", batches=(1,), device="cuda")["failure"]
    assert (failure["phase"], failure["kind"]) == ("load", "fallback"), failure
    assert said in failure["message"]


@pytest.mark.parametrize("row", ["torch_cuda", *(pytest.param(row, marks=HEAVY) for row in ("jax_cuda", "tensorflow_gpu"))])
def test_a_cpu_is_not_what_these_rows_are_for(row: str, runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = convolutional(tmp_path_factory.mktemp("net"))
    same = Runner(python=lambda _name: runner.python(row.split("_")[0]), scratch=runner.scratch)
    failure = same.trial(row, model, model.folder / "model.onnx", batches=(1,), device="cpu")["failure"]
    assert failure["kind"] == "unsupported"
    assert "not on cpu" in failure["message"]


def test_what_pytorchs_row_does_beside_the_device_needs_none(
        backend_python: BackendPython, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("net") / "net.pt2"
    command = [backend_python("torch"), "-c", TORCH, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.endswith("as it should be\n"), done.stderr


@pytest.mark.heavy
def test_tensorflow_says_what_ran_beside_the_gpu(backend_python: BackendPython) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(RUNNERS)!r})
from adapters.tensorflow_gpu import left_on_host
assert left_on_host({{"GPU:0": {{"Conv2D": 3}}, "CPU:0": {{"Shape": 1, "Pack": 2}}}}) is None
assert left_on_host({{}}) is None  # XLA tells no placement
said = left_on_host({{"GPU:0": {{"Conv2D": 3}}, "CPU:0": {{"MatMul": 1, "Conv2D": 2, "Shape": 9}}}})
assert said == "not all of it ran on the GPU: 2 × Conv2D, 1 × MatMul did not", said
"""
    done = subprocess.run([backend_python("tensorflow"), "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
