"""Settings reach the backend, and evidence is what the backend says of itself, not what it was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.adapters.jobs import Prepared, Runner

pytestmark = pytest.mark.slow
ROWS = 4


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two 3×3 convolutions and a projection, from ONNX."""
    folder = tmp_path_factory.mktemp("convolutions")
    rng = np.random.default_rng(3)
    weights = {"k": (8, 3, 3, 3), "l": (8, 8, 3, 3), "w": (8, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "l"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), key) for key, shape in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    inputs = rng.standard_normal((ROWS, 3, 16, 16)).astype(np.float32)
    np.savez(folder / "inputs.npz", x=inputs)
    reference = ReferenceEvaluator(str(folder / "model.onnx")).run(None, {"x": inputs})
    np.savez(folder / "reference.npz", y=np.asarray(reference[0]))
    return Prepared(folder=folder, input_order=["x"], output_order=["y"], batchable=True)


@pytest.fixture(scope="module")
def converted(convolutions: Prepared, runner: Runner) -> Callable[[str], Path]:
    """The network in a backend's own format, converted once."""

    @cache
    def convert(backend: str) -> Path:
        path, _ = runner.convert(backend, convolutions)
        assert path is not None
        return path

    return convert


def measured(result: dict[str, Any]) -> dict[str, Any]:
    """Evidence of a trial that went well."""
    assert result["failure"] is None
    assert all(cell["status"] == "ok" and cell["fidelity"]["rel_l2"] < 1e-3 for cell in result["cells"])
    evidence = result["evidence"]
    assert evidence["fallback"] is None
    return dict(evidence)


@pytest.mark.parametrize("settings", [
    {"graph_optimization_level": "disable"}, {"graph_optimization_level": "all", "allow_spinning": False},
    {"execution_mode": "parallel"}, {"enable_cpu_mem_arena": False}, {"enable_mem_pattern": False}, {"dynamic_block_base": 4},
    {"denormals_are_zero": True}, {"execution_mode": "parallel", "inter_op_threads": 2}])
def test_onnxruntime_says_which_provider_got_the_nodes(settings: dict[str, Any], convolutions: Prepared, runner: Runner) -> None:
    path = convolutions.folder / "model.onnx"
    evidence = measured(runner.trial("onnxruntime", convolutions, path, batches=(1, 2), settings=settings))
    assert evidence["executed_on"] == ["CPUExecutionProvider"]
    nodes = evidence["detail"]["nodes"]["CPUExecutionProvider"]
    assert (nodes == 6) if settings.get("graph_optimization_level") == "disable" else (0 < nodes <= 8)
    assert {name: evidence["detail"][name] for name in settings} == settings
    threads = (evidence["detail"]["intra_op_threads"], evidence["detail"]["inter_op_threads"])
    assert threads == ((1, 2) if "execution_mode" in settings else (2, 1))


def test_onnxruntime_shares_threads_between_branches_and_operators(convolutions: Prepared, runner: Runner) -> None:
    settings = {"execution_mode": "parallel", "inter_op_threads": 2}
    path = convolutions.folder / "model.onnx"
    detail = measured(runner.trial("onnxruntime", convolutions, path, batches=(1,), settings=settings, threads=4))["detail"]
    assert (detail["execution_mode"], detail["inter_op_threads"], detail["intra_op_threads"]) == ("parallel", 2, 2)


@pytest.mark.parametrize(("settings", "threads", "word"), [
    ({"inter_op_threads": 2}, 2, "execution_mode parallel only"),
    ({"execution_mode": "parallel"}, 1, "of 1, not 1"),
    ({"execution_mode": "parallel", "inter_op_threads": 3}, 2, "of 2, not 3")])
def test_onnxruntime_s_settings_without_effect_are_refused(
    settings: dict[str, Any], threads: int, word: str, convolutions: Prepared, runner: Runner
) -> None:
    path = convolutions.folder / "model.onnx"
    failed = runner.trial("onnxruntime", convolutions, path, batches=(1,), settings=settings, threads=threads)["failure"]
    assert failed["kind"] == "unsupported"
    assert word in failed["message"]


def test_onnxruntime_without_the_device_is_a_fallback(convolutions: Prepared, runner: Runner) -> None:
    result = runner.trial("onnxruntime", convolutions, convolutions.folder / "model.onnx", batches=(1,), device="cuda")
    assert result["failure"]["kind"] == "fallback"
    assert "CUDAExecutionProvider is not available" in result["failure"]["message"]


@pytest.mark.parametrize(("hint", "streams"), [("latency", 1), ("throughput", 2), ("none", 1)])
def test_openvino_says_threads_streams_and_precision(hint: str, streams: int, convolutions: Prepared, runner: Runner) -> None:
    settings = {"performance_hint": hint, "num_streams": streams, "enable_cpu_pinning": False}
    path = convolutions.folder / "model.onnx"
    evidence = measured(runner.trial("openvino", convolutions, path, batches=(1, 2), settings=settings))
    assert evidence["executed_on"] == ["CPU"]
    assert evidence["detail"]["threads"] == 2
    assert evidence["detail"]["streams"] == streams
    assert evidence["detail"]["inference_precision"] == "f32"
    assert evidence["detail"]["pinning"] is False


@pytest.mark.parametrize(("settings", "said"), [
    ({"static_shapes": True}, {"dynamic_inputs": False}), ({"static_shapes": False}, {"dynamic_inputs": True}),
    ({"enable_hyper_threading": False}, {"hyper_threading": False}),
    ({"cpu_denormals_optimization": True}, {"cpu_denormals_optimization": True})])
def test_openvino_says_shapes_and_switches(settings: dict[str, Any], said: dict[str, Any], convolutions: Prepared,
                                           runner: Runner) -> None:
    path = convolutions.folder / "model.onnx"
    evidence = measured(runner.trial("openvino", convolutions, path, batches=(1, 3), settings=settings))
    assert {name: evidence["detail"][name] for name in said} == said


@pytest.mark.parametrize(("settings", "said"), [
    ({"gradients": "no_grad"}, {"gradients": "no_grad"}), ({"gradients": "recorded"}, {"gradients": "recorded"}),
    ({}, {"gradients": "inference_mode", "mkldnn": True, "interop_threads": 1}),
    ({"mkldnn": False, "num_interop_threads": 2}, {"mkldnn": False, "interop_threads": 2})])
def test_torch_says_how_gradients_and_kernels_are_switched(settings: dict[str, Any], said: dict[str, Any],
                                                           convolutions: Prepared, converted: Callable[[str], Path],
                                                           runner: Runner) -> None:
    path = converted("torch")
    detail = measured(runner.trial("torch", convolutions, path, batches=(1, 2), settings=settings))["detail"]
    assert {name: detail[name] for name in said} == said


@pytest.mark.heavy
def test_torch_compile_says_what_it_was_told_to_try(
        convolutions: Prepared, converted: Callable[[str], Path], runner: Runner) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    path = converted("torch")
    settings = {"mode": "compile", "compile_mode": "reduce-overhead", "freezing": False}
    detail = measured(runner.trial("torch", convolutions, path, batches=(1,), settings=settings))["detail"]
    assert detail["freezing"] is False
    assert detail["compiler"] == {"max_autotune": False, "triton.cudagraphs": True, "coordinate_descent_tuning": False}


@pytest.mark.parametrize(("mode", "channels_last"), [
    ("eager", True), ("jit", False), ("jit", True), ("compile", True), pytest.param("compile", False, marks=pytest.mark.heavy),
    pytest.param("aot", True, marks=pytest.mark.heavy)])
def test_torch_shows_what_was_made_of_the_model(mode: str, channels_last: bool, convolutions: Prepared,
                                                converted: Callable[[str], Path], runner: Runner) -> None:
    if mode in ("compile", "aot") and shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    path = converted("torch")
    settings = {"mode": mode, "channels_last": channels_last}
    detail = measured(runner.trial("torch", convolutions, path, batches=(1, 2), settings=settings))["detail"]
    assert detail["mode"] == mode
    assert detail["threads"] == 2
    if mode == "jit":
        assert detail["frozen"] is True
    if mode == "compile":
        assert detail["compiled_graphs"] == 2  # one for each batch
        assert detail["graph_breaks"] == 0
    if mode == "aot":
        assert (detail["packages"], detail["libraries_mapped"], detail["freezing"]) == (2, 2, True)


@pytest.mark.parametrize("switch", [True, False])
def test_ncnn_has_its_narrow_types_off(
        switch: bool, convolutions: Prepared, converted: Callable[[str], Path], runner: Runner) -> None:
    path = converted("ncnn")
    switches = ("use_packing_layout", "use_winograd_convolution", "use_winograd23_convolution", "use_winograd43_convolution",
                "use_winograd63_convolution", "use_sgemm_convolution", "lightmode")
    settings: dict[str, Any] = {**dict.fromkeys(switches, switch), "openmp_blocktime": 20 if switch else 0}
    evidence = measured(runner.trial("ncnn", convolutions, path, batches=(1, 3), settings=settings))
    assert evidence["batching"] == "native"
    assert {name: evidence["detail"][name] for name in settings} == settings
    assert evidence["detail"]["layer_types"]["Convolution"] == 2
