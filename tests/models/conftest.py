"""Builders of small ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models.onnxbuild import Dims, SaveModel


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    def save(nodes: Sequence[Any], inputs: Sequence[tuple[str, int, Dims]],
             outputs: Sequence[tuple[str, int, Dims]], weights: dict[str, Any] | None = None, *, opset: int = 17,
             ir: int = 8, name: str = "model.onnx", functions: Sequence[Any] = (),
             domains: dict[str, int] | None = None, edit: Callable[[Any], None] | None = None) -> Path:
        graph = helper.make_graph(
            list(nodes), "graph", [helper.make_tensor_value_info(*i) for i in inputs],
            [helper.make_tensor_value_info(*o) for o in outputs],
            [numpy_helper.from_array(np.asarray(value), key) for key, value in (weights or {}).items()])
        opsets = [helper.make_opsetid("", opset)]
        opsets += [helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
        model = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
        model.ir_version = ir
        if edit:
            edit(model)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return save


@pytest.fixture
def linear(save_model: SaveModel) -> Path:
    """y = x · W with a free batch: (batch, 4) -> (batch, 3)."""
    weight = np.random.default_rng(7).standard_normal((4, 3)).astype(np.float32)
    return save_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", TensorProto.FLOAT, ["batch", 4])],
                      [("y", TensorProto.FLOAT, ["batch", 3])], {"w": weight})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model of two weights, one of which lies in `data/weights.bin`."""
    weights = {"w": np.ones((4, 3), np.float32), "v": np.arange(3, dtype=np.float32)}
    tensors = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    folder = tmp_path / "with-data"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "weights.bin").write_bytes(weights["w"].tobytes())
    onnx.external_data_helper.set_external_data(tensors[0], "data/weights.bin", offset=0, length=48)
    tensors[0].ClearField("raw_data")
    tensors[0].data_location = TensorProto.EXTERNAL
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Add", ["t", "v"], ["y"])], "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path
