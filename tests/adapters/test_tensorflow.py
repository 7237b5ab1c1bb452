"""TensorFlow and its converter, which also serves LiteRT: settings take effect, axes come back, batches are free."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.adapters.breadth import is_right, outcome
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import Strange, fixed, grouped

FIXTURE = Path(__file__).parents[1] / "fixtures" / "litert"
pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.timeout(900)]
Converted = tuple[Prepared, Path]


@pytest.fixture(scope="module")
def small(runner: Runner) -> Converted:
    """Two convolutions, an NCHW output beside one that is none (tests/fixtures/litert/make.py)."""
    model = Prepared(folder=FIXTURE, input_order=["x"], output_order=["y", "map"], batchable=True)
    path, result = runner.convert("tensorflow", model)
    assert result["failure"] is None
    assert path is not None
    assert result["artifact"]["others"] == {"tflite": "model.tflite"}
    return model, path


def measured(runner: Runner, converted: Converted, **changes: Any) -> dict[str, Any]:
    result = runner.trial("tensorflow", *converted, batches=(1, 3), **changes)
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"]
    assert all(cell["fidelity"]["rel_l2"] < 1e-4 for cell in result["cells"])
    assert result["evidence"]["fallback"] is None
    assert result["versions"]["tensorflow-cpu"]
    return dict(result["evidence"])


@pytest.mark.parametrize(("threads", "inter"), [(1, 1), (2, 2)])
def test_threads_are_read_back(threads: int, inter: int, runner: Runner, small: Converted) -> None:
    detail = measured(runner, small, threads=threads, settings={"inter_op_threads": inter})["detail"]
    assert (detail["intra_op_threads"], detail["inter_op_threads"]) == (threads, inter)


def test_without_onednn_none_of_its_kernels_is_executed(runner: Runner, small: Converted) -> None:
    found = [measured(runner, small, settings={"onednn": wanted})["detail"] for wanted in (True, False)]
    assert [detail["onednn"] for detail in found] == [True, False]
    assert [any(kind.startswith("_Mkl") for kind in detail["operator_types"]) for detail in found] == [True, False]
    assert all(detail["operators"] > 0 for detail in found)


def test_xla_compiles_the_whole_or_says_so(runner: Runner, small: Converted) -> None:
    evidence = measured(runner, small, settings={"xla": True})
    assert evidence["executed_on"] == ["XLA CPU"]
    assert evidence["detail"]["xla"] is True


def test_it_says_that_it_keeps_no_cache(runner: Runner, small: Converted, tmp_path: Path) -> None:
    assert measured(runner, small, keep_cache=True, cache_dir=str(tmp_path))["cache"]["kind"] == "none"


@cache
def exported(runner: Runner, name: str) -> Prepared:
    return runner.export(name)


@pytest.mark.parametrize("name", ["spam", "minilm"])
def test_one_conversion_gives_both_backends_the_reference_s_answers(name: str, runner: Runner) -> None:
    model = exported(runner, name)
    path, result = runner.convert("tensorflow", model)
    assert result["failure"] is None
    assert path is not None
    assert result["artifact"]["lacking"] == {}
    evidence = measured(runner, (model, path))
    assert evidence["batching"] == "native"
    if name == "minilm":  # a graph in which there is something to optimise
        plain = measured(runner, (model, path), settings={"grappler": False})["detail"]
        assert (evidence["detail"]["grappler"], plain["grappler"]) == (True, False)
        assert evidence["detail"]["operators"] < plain["operators"]
    lite = runner.trial("litert", model, path.parent / "model.tflite", batches=(1, 3))
    assert all(cell["fidelity"]["rel_l2"] < 1e-4 for cell in lite["cells"])
    assert lite["evidence"]["executed_on"][0] == "XNNPACK"
    assert lite["evidence"]["batching"] == "native"


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Prepared]:
    """A model of the nodes that are given, on x (N × 6) → y."""
    def write(*nodes: onnx.NodeProto, domain: str = "") -> Prepared:
        graph = helper.make_graph(
            list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6])])
        opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "model.onnx")
        np.savez(tmp_path / "inputs.npz", x=np.ones((4, 6), np.float32))
        np.savez(tmp_path / "reference.npz", y=np.ones((4, 6), np.float32))
        return Prepared(folder=tmp_path, input_order=["x"], output_order=["y"], batchable=True)

    return write


def test_an_operator_that_only_litert_lacks_is_lacking_there_alone(runner: Runner, written: Callable[..., Prepared]) -> None:
    path, result = runner.convert("tensorflow", written(helper.make_node("Erf", ["x"], ["y"])))
    assert path is not None
    assert "no operator Erf" in result["artifact"]["lacking"]["tflite"]


def test_an_operator_of_another_domain_is_unsupported_by_name(runner: Runner, written: Callable[..., Prepared]) -> None:
    node = helper.make_node("Wonder", ["x"], ["y"], domain="com.example")
    _, result = runner.convert("tensorflow", written(node, domain="com.example"))
    assert result["failure"]["kind"] == "unsupported"
    assert "com.example::Wonder" in result["failure"]["message"]


@pytest.mark.parametrize("make", [fixed, grouped])
def test_pictures_with_a_fixed_batch_need_no_network_and_new_files_no_new_onnx_runtime(
        make: Callable[[], Strange], runner: Runner, tmp_path: Path) -> None:
    """onnx2tf would fetch photographs for these, and its ONNX Runtime does not read the second."""
    is_right(outcome(make, "tensorflow", runner, tmp_path, converts=True))
