"""A small network for the backends that compile: with the operators that trip importers up, and its inputs and answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.adapters.jobs import Prepared

ROWS = 4


def convolutional(folder: Path, *, foreign: bool = False) -> Prepared:
    """Convolutions, a Clip and a LayerNormalization, of two outputs that are asked for in another order than the file's.

    `foreign`: with an operator that is none of ONNX's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    weights = {"k": rng.standard_normal((8, 3, 3, 3)), "l": rng.standard_normal((8, 8, 3, 3)), "w": rng.standard_normal((8, 5)),
               "low": np.float32(0), "high": np.float32(6), "scale": rng.standard_normal(5), "bias": rng.standard_normal(5)}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]), helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "l"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("LayerNormalization", ["m", "scale", "bias"], ["y"], axis=-1), helper.make_node("Relu", ["m"], ["z"]),
    ]
    opsets = [helper.make_opsetid("", 17)]
    if foreign:
        nodes.append(helper.make_node("Mystery", ["m"], ["unused"], domain="org.example"))
        opsets.append(helper.make_opsetid("org.example", 1))
    outputs = ["y", "z"]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 5]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    inputs = rng.standard_normal((ROWS, 3, 16, 16)).astype(np.float32)
    np.savez(folder / "inputs.npz", x=inputs)
    if foreign:
        np.savez(folder / "reference.npz", **{name: np.zeros((ROWS, 5)) for name in outputs})  # type: ignore[arg-type]
    else:
        answers = ReferenceEvaluator(str(folder / "model.onnx")).run(None, {"x": inputs})
        np.savez(folder / "reference.npz", **dict(zip(outputs, answers, strict=True)))
    return Prepared(folder=folder, input_order=["x"], output_order=["z", "y"], batchable=True)
