"""How each ONNX operator is written for CNTK's importer, which reads opset 9 (`opset9.py`)."""
from typing import Any, Dict

import numpy as np

from . import opset9
from .base import Unsupported
from .opset9 import Known, attributes, made, value

READER = "CNTK's importer"
PLAIN = (
    "Abs", "Add", "Ceil", "Cos", "Div", "Elu", "Exp", "Flatten", "Floor", "GlobalAveragePool", "GlobalMaxPool",
    "HardSigmoid", "Identity", "LRN", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mul", "Neg", "PRelu", "Reciprocal",
    "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh",
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


def _rank(node: Any, index: int, known: Known) -> int:
    name = node.input[index]
    if name in known.constants:
        return len(known.constants[name].dims)
    if name not in known.shapes:
        raise Unsupported("operator {} is of a tensor whose shape is not known".format(node.op_type))
    return len(known.shapes[name])


def _settled(node: Any, known: Known) -> Any:
    """The importer knows axes from the front only, and leaves out none that are not named."""
    lowered = opset9.settled(node, known)
    given = attributes(lowered)
    if "axes" in opset9.AS_ATTRIBUTES[node.op_type].values() and lowered.op_type == node.op_type:
        rank = _rank(node, 0, known) + (len(given["axes"]) if node.op_type == "Unsqueeze" else 0)
        if node.op_type.startswith("Reduce") or given.get("axes"):
            given["axes"] = sorted(axis % rank for axis in given.get("axes") or range(rank))
    return made(node, list(lowered.input), given, lowered.op_type)


def _concat(node: Any, known: Known) -> Any:
    return made(node, list(node.input), {"axis": attributes(node)["axis"] % _rank(node, 0, known)})


def _transpose(node: Any, known: Known) -> Any:
    return made(node, list(node.input), {"perm": attributes(node).get("perm") or list(reversed(range(_rank(node, 0, known))))})


def _conv(node: Any, known: Known) -> Any:
    if _rank(node, 1, known) != 4:
        raise Unsupported("operator Conv is not of two dimensions, and CNTK's importer adds the bias of others to a wrong axis")
    if any(size != 1 for size in attributes(node).get("dilations", [])):
        raise Unsupported("operator Conv has dilations, which CNTK's CPU kernels have not")
    return opset9.window(node, known)


def _matmul(node: Any, known: Known) -> Any:
    if _rank(node, 0, known) == _rank(node, 1, known) == 1:
        raise Unsupported("operator MatMul is of two vectors, of which CNTK's importer makes the outer product")
    return made(node, list(node.input), {})


def _reshape(node: Any, known: Known) -> Any:
    value(node, 1, known)
    if attributes(node).get("allowzero"):
        raise Unsupported("operator Reshape has allowzero, which opset 9 has not")
    return made(node, list(node.input), {})


def _softmax(node: Any, known: Known) -> Any:
    """Opset 9 means a softmax over everything from the axis on: the same as one over the last axis, and as no other."""
    rank = _rank(node, 0, known)
    axis = int(attributes(node).get("axis", -1 if known.opset >= 13 else 1))
    if axis % rank != rank - 1:
        raise Unsupported("operator {} is not over the last axis, which CNTK's importer wants".format(node.op_type))
    return made(node, list(node.input), {"axis": rank - 1})


RULES: Dict[str, opset9.Rule] = {
    **dict.fromkeys(PLAIN, opset9.plain), **dict.fromkeys(opset9.AS_ATTRIBUTES, _settled),
    **dict.fromkeys(("MaxPool", "AveragePool"), opset9.window),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "BatchNormalization": opset9.normalisation, "Concat": _concat, "Conv": _conv, "Dropout": opset9.identity, "Gemm": _gemm,
    "MatMul": _matmul, "Reshape": _reshape, "Transpose": _transpose,
}
