"""Chainer: a network rebuilt natively from an ONNX file's weights, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.adapters.densenets import model_of, prepared, small
from tests.adapters.jobs import Prepared, Runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("dense"), small())


@pytest.fixture(scope="module")
def converted(runner: Runner, network: Prepared) -> Path:
    path, result = runner.convert("chainer", network)
    assert path is not None, result["failure"]
    assert result["artifact"]["format"] == "dense"
    return path


def measured(runner: Runner, network: Prepared, path: Path, **changes: Any) -> dict[str, Any]:
    result = runner.trial("chainer", network, path, batches=(1, 3), **changes)
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["cells"]
    assert max(cell["fidelity"]["rel_l2"] for cell in result["cells"]) < 1e-5
    assert result["versions"]["chainer"] == "7.8.1"
    return dict(result["evidence"])


@pytest.mark.parametrize("threads", [1, 2])
def test_every_batch_agrees_and_the_blas_says_its_threads(
        threads: int, runner: Runner, network: Prepared, converted: Path) -> None:
    evidence = measured(runner, network, converted, threads=threads)
    detail = evidence["detail"]
    assert (evidence["executed_on"], evidence["batching"], evidence["fallback"]) == (["numpy"], "native", None)
    assert (detail["threads"], detail["threads_asked"]) == (threads, threads)
    assert detail["layers"] == {"flatten": 1, "dense": 4, "relu": 1, "tanh": 1, "sigmoid": 1, "softmax": 1}
    assert (detail["train"], detail["enable_backprop"], detail["type_check"]) == (False, False, True)


def test_checks_of_types_can_be_left_out(runner: Runner, network: Prepared, converted: Path) -> None:
    detail = measured(runner, network, converted, settings={"type_check": False})["detail"]
    assert detail["type_check"] is False


def test_ideep_is_refused_where_it_would_silently_be_numpy(runner: Runner, network: Prepared, converted: Path) -> None:
    failure = runner.trial("chainer", network, converted, batches=(1,), settings={"use_ideep": "auto"})["failure"]
    assert failure["kind"] == "unsupported"
    assert "ideep4py" in failure["message"]


def test_a_network_with_convolutions_is_refused_by_name(runner: Runner, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"]), helper.make_node("Flatten", ["c"], ["y"])]
    model = model_of(nodes, {"k": np.ones((2, 3, 2, 2), np.float32)}, shape=["N", 3, 4, 4])
    path, result = runner.convert("chainer", prepared(tmp_path / "model", model))
    assert path is None
    assert result["failure"]["kind"] == "unsupported"
    assert "operator Conv is not part of a plain chain" in result["failure"]["message"]
