"""How each ONNX operator is written for CNTK's importer, which reads opset 9 (`opset9.py`)."""
from typing import Any, Dict

import numpy as np

from . import opset9
from .base import Unsupported
from .opset9 import Known, attributes, made, value

READER = "CNTK's importer"
PLAIN = (
    "Abs", "Add", "Ceil", "Concat", "Cos", "Div", "Elu", "Exp", "Flatten", "Floor", "GlobalAveragePool", "GlobalMaxPool",
    "HardSigmoid", "Identity", "LRN", "LeakyRelu", "Log", "MatMul", "Max", "Mean", "Min", "Mul", "Neg", "PRelu", "Reciprocal",
    "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "Transpose",
)


def lower(model: Any) -> Any:
    """The same graph at opset 9. Raises Unsupported naming every operator that has no way there."""
    return opset9.lower(model, RULES, READER)


def _gemm(node: Any, known: Known) -> Any:
    """The importer wants an addend."""
    import onnx

    inputs, given = list(node.input), attributes(node)
    if len(inputs) < 3 or not inputs[2]:
        nothing = "{}/no_addend".format(node.output[0])
        known.constants[nothing] = onnx.numpy_helper.from_array(np.zeros(1, np.float32), nothing)
        inputs = [*inputs[:2], nothing]
    return made(node, inputs, given)


def _reshape(node: Any, known: Known) -> Any:
    value(node, 1, known)
    if attributes(node).get("allowzero"):
        raise Unsupported("operator Reshape has allowzero, which opset 9 has not")
    return made(node, list(node.input), {})


def _softmax(node: Any, known: Known) -> Any:
    """Opset 9 means a softmax over everything from the axis on: the same as one over the last axis, and as no other."""
    given, shape = attributes(node), known.shapes.get(node.input[0])
    axis = int(given.get("axis", -1 if known.opset >= 13 else 1))
    if shape is None:
        raise Unsupported("operator {} is of a tensor whose shape is not known".format(node.op_type))
    if axis % len(shape) != len(shape) - 1:
        raise Unsupported("operator {} is not over the last axis, which CNTK's importer wants".format(node.op_type))
    return made(node, list(node.input), {"axis": len(shape) - 1})


RULES: Dict[str, opset9.Rule] = {
    **dict.fromkeys(PLAIN, opset9.plain), **dict.fromkeys(opset9.AS_ATTRIBUTES, opset9.settled),
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool"), opset9.window),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "BatchNormalization": opset9.normalisation, "Dropout": opset9.identity, "Gemm": _gemm, "Reshape": _reshape,
}
