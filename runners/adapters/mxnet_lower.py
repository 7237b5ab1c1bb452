"""How each ONNX operator is written for MXNet's importer, which reads opset 9 (`opset9.py`)."""

from typing import Any, Dict

import numpy as np

from . import opset9
from .base import Unsupported
from .opset9 import Known, attributes, made, value

READER = "MXNet's importer"
LINEAR, SAME_SHAPE_ADD = "InfermatrixLinear", "InfermatrixAdd"
# Operators whose translation was read and does what ONNX says; the importer has more, some of which drop what they do not know.
PLAIN = (
    "Abs", "Ceil", "Concat", "Cos", "Div", "Elu", "Exp", "Flatten", "Floor", "GlobalAveragePool", "GlobalMaxPool",
    "Identity", "LRN", "Log", "Mul", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "Transpose",
)


def extend(conversions: Dict[str, Any]) -> None:
    """Give the importer the operators that MXNet's fusing looks for, where it would write others that compute the same."""
    conversions["Relu"] = lambda _attributes, inputs, _graph: ("Activation", {"act_type": "relu"}, inputs)
    conversions[LINEAR] = lambda attributes, inputs, _graph: ("FullyConnected", attributes, inputs)
    conversions[SAME_SHAPE_ADD] = lambda _attributes, inputs, _graph: ("elemwise_add", {}, inputs)


def lower(model: Any) -> Any:
    """The same graph at opset 9. Raises Unsupported naming every operator that has no way there."""
    return opset9.lower(model, RULES, READER)


def _reshape(node: Any, known: Known) -> Any:
    shape = value(node, 1, known)
    if attributes(node).get("allowzero") and shape is not None and 0 in shape:
        raise Unsupported("operator Reshape makes an empty tensor, which MXNet has not")
    return made(node, list(node.input), {})


def _gemm(node: Any, known: Known) -> Any:
    import onnx

    inputs, given = list(node.input), attributes(node)
    plain = not given.get("transA", 0) and given.get("alpha", 1) == given.get("beta", 1) == 1
    shapes = [list(known.constants[name].dims) if name in known.constants else [] for name in inputs]
    if plain and given.get("transB", 0) and len(inputs) == 3 and len(shapes[1]) == 2 and shapes[2] == shapes[1][:1]:
        return made(node, inputs, {"num_hidden": shapes[2][0]}, LINEAR)
    if len(inputs) < 3 or not inputs[2]:
        nothing = f"{node.output[0]}/no_addend"
        known.constants[nothing] = onnx.numpy_helper.from_array(np.zeros(1, np.float32), nothing)
        inputs = [*inputs[:2], nothing]
    return made(node, inputs, given)


def _add(node: Any, known: Known) -> Any:
    first, second = (known.shapes.get(name) for name in node.input)
    return made(node, list(node.input), {}, SAME_SHAPE_ADD if first and first == second else None)


def _matmul(node: Any, known: Known) -> Any:
    weight = value(node, 1, known)
    if weight is None or weight.ndim != 2:
        raise Unsupported("operator MatMul is a product of matrices of two dimensions in MXNet's importer")
    return made(node, list(node.input), {})


def _prelu(node: Any, known: Known) -> Any:
    """MXNet's slope is one number for all or one for each channel, in a vector; ONNX's is broadcast from the last axis."""
    import onnx

    slope, shape = value(node, 1, known), known.shapes.get(node.input[0])
    assert slope is not None  # the operator has no default
    if slope.size > 1:
        aligned = (1,) * (len(shape or ()) - slope.ndim) + slope.shape
        if len(aligned) < 2 or aligned[1] != slope.size:
            raise Unsupported("operator PRelu has slopes along another axis than the channels'")
    vector = f"{node.output[0]}/slope"
    known.constants[vector] = onnx.numpy_helper.from_array(slope.reshape(-1), vector)
    return made(node, [node.input[0], vector], {})


def _softmax(node: Any, known: Known) -> Any:
    del known
    return made(node, list(node.input), {"axis": -1, **attributes(node)})


RULES: Dict[str, opset9.Rule] = {
    **dict.fromkeys(PLAIN, opset9.plain), **dict.fromkeys(opset9.AS_ATTRIBUTES, opset9.settled),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool"), opset9.window),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Add": _add, "BatchNormalization": opset9.normalisation, "Dropout": opset9.identity, "Gemm": _gemm, "MatMul": _matmul,
    "PRelu": _prelu, "Reshape": _reshape,
}
