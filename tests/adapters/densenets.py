"""Small chains of dense layers, as the exporters of other frameworks write them, with their inputs and answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.adapters.jobs import Prepared

ROWS = 6


def model_of(nodes: Sequence[NodeProto], weights: dict[str, Any], *, shape: Sequence[int | str], opset: int = 17) -> Any:
    """From `x` of that shape to `y`."""
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def small() -> Any:
    """Every kind of layer: images are flattened, weights lie either way round, one layer has no bias."""
    rng = np.random.default_rng(5)
    weights = {"a": rng.standard_normal((7, 12)), "b": rng.standard_normal(7), "c": rng.standard_normal((7, 9)),
               "d": rng.standard_normal((9, 4)), "e": rng.standard_normal((1, 4)), "f": rng.standard_normal((4, 3))}
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "a", "b"], ["h"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Relu", ["h"], ["i"]), helper.make_node("MatMul", ["i", "c"], ["j"]),
        helper.make_node("Tanh", ["j"], ["k"]), helper.make_node("MatMul", ["k", "d"], ["l"]),
        helper.make_node("Add", ["e", "l"], ["m"]), helper.make_node("Sigmoid", ["m"], ["n"]),
        helper.make_node("Identity", ["n"], ["o"]), helper.make_node("Gemm", ["o", "f"], ["p"]),
        helper.make_node("Softmax", ["p"], ["y"]),
    ]
    return model_of(nodes, {name: array.astype(np.float32) for name, array in weights.items()}, shape=["N", 3, 2, 2])


def prepared(folder: Path, model: Any) -> Prepared:
    """The model's folder, with inputs and the specification's own answers."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    inputs = np.random.default_rng(6).standard_normal((ROWS, *shape)).astype(np.float32)
    np.savez(folder / "inputs.npz", x=inputs)
    np.savez(folder / "reference.npz", y=np.asarray(ReferenceEvaluator(model).run(None, {"x": inputs})[0]))
    return Prepared(folder=folder, input_order=["x"], output_order=["y"], batchable=True)
