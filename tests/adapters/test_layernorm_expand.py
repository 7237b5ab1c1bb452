"""LayerNormalization written out gives what the operator gives, in every form that it can have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

layernorm: Any = import_module("adapters.layernorm_expand")

SHAPE = (2, 3, 4)


def network(*, axis: int | None, opset: int, bias: bool, outputs: int, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    shape = SHAPE[-1 if axis is None else axis:]
    weights = [numpy_helper.from_array(rng.normal(size=shape).astype(dtype), name) for name in ("scale", "bias")[:1 + bias]]
    names = ["y", "mean", "inverse"][:outputs]
    attributes = {"epsilon": 0.25} if axis is None else {"axis": axis, "epsilon": 0.25}
    node = helper.make_node("LayerNormalization", ["x", *(tensor.name for tensor in weights)], names, **attributes)
    results = [helper.make_tensor_value_info(name, kind, [None] * len(SHAPE)) for name in names]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, list(SHAPE))], results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: list[np.ndarray] = session.run(None, {"x": np.random.default_rng(4).normal(3, 2, SHAPE).astype(np.float32)})
    return rows


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("axis", [None, -2, 1, 0])
@pytest.mark.parametrize("bias", [False, True])
def test_the_written_out_graph_gives_the_operator_s_answers(axis: int | None, opset: int, bias: bool) -> None:
    model = network(axis=axis, opset=opset, bias=bias, outputs=3)
    expected = answers(model)
    assert layernorm.expand(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    for found, wanted in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_another_type_than_float_is_left_for_the_importer_to_name() -> None:
    model = network(axis=-1, opset=17, bias=True, outputs=1, kind=TensorProto.FLOAT16)
    assert layernorm.expand(model) == 0
    assert [node.op_type for node in model.graph.node] == ["LayerNormalization"]
