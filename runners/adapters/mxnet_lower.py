"""Writes an ONNX graph as MXNet's importer wants it: opset 9, where settings were attributes and weights were inputs too.

ONNX's own version converter has no way down for most of these operators.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from .base import Unsupported

OPSET, IR_VERSION = 9, 3
# Inputs (by position) that were attributes once; only constants can go back.
AS_ATTRIBUTES = {
    "Clip": {1: "min", 2: "max"}, "Squeeze": {1: "axes"}, "Unsqueeze": {1: "axes"}, "Pad": {1: "pads", 2: "value"},
    **{f"Reduce{kind}": {1: "axes"} for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare")},
}
LINEAR, SAME_SHAPE_ADD = "InfermatrixLinear", "InfermatrixAdd"
SCALARS = ("min", "max", "value")
# Operators whose translation was read and does what ONNX says; the importer has more, some of which drop what they do not know.
PLAIN = (
    "Abs", "Ceil", "Concat", "Cos", "Div", "Elu", "Exp", "Flatten", "Floor", "GlobalAveragePool", "GlobalMaxPool",
    "Identity", "LRN", "Log", "Mul", "Neg", "PRelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "Transpose",
)


@dataclass(frozen=True)
class Known:
    """What rules may ask of the graph."""

    constants: Dict[str, Any]  # rules may add to them
    shapes: Dict[str, List[Any]]  # numbers, or names of open dimensions


def extend(conversions: Dict[str, Any]) -> None:
    """Give the importer the operators that MXNet's fusing looks for, where it would write others that compute the same."""
    conversions["Relu"] = lambda _attributes, inputs, _graph: ("Activation", {"act_type": "relu"}, inputs)
    conversions[LINEAR] = lambda attributes, inputs, _graph: ("FullyConnected", attributes, inputs)
    conversions[SAME_SHAPE_ADD] = lambda _attributes, inputs, _graph: ("elemwise_add", {}, inputs)


def lower(model: Any) -> Any:
    """The same graph at opset 9. Raises Unsupported naming every operator that has no way there."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    kept, lacking = [], set()
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            tensor = _attributes(node).get("value")
            if tensor is None:
                raise Unsupported("operator Constant holds something else than a tensor")
            constants[node.output[0]] = _named(tensor, node.output[0])
        elif node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
            lacking.add(node.op_type)
        else:
            kept.append(node)
    if lacking:
        names = sorted(lacking)
        raise Unsupported(f"MXNet's importer has no {names[0]}" if len(names) == 1 else
                          f"MXNet's importer has none of the operators {', '.join(names)}")
    known = Known(constants=constants, shapes=_shapes(model))
    return _rebuilt(model, [RULES[node.op_type](node, known) for node in kept], constants)


def _rebuilt(model: Any, nodes: List[Any], constants: Dict[str, Any]) -> Any:
    import onnx

    used = {name for node in nodes for name in node.input if name in constants}
    weights = [constants[name] for name in sorted(used)]
    inputs = [tensor for tensor in model.graph.input if tensor.name not in constants]
    listed = [onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in weights]
    graph = onnx.helper.make_graph(nodes, "lowered", [*inputs, *listed], list(model.graph.output), weights)
    lowered = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    lowered.ir_version = IR_VERSION
    return lowered


def _shapes(model: Any) -> Dict[str, List[Any]]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    return {tensor.name: [dim.dim_value or dim.dim_param for dim in tensor.type.tensor_type.shape.dim]
            for tensor in (*graph.value_info, *graph.input) if all(
                dim.dim_value or dim.dim_param for dim in tensor.type.tensor_type.shape.dim)}


def _attributes(node: Any) -> Dict[str, Any]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _named(tensor: Any, name: str) -> Any:
    import onnx

    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def _made(node: Any, inputs: List[str], attributes: Dict[str, Any], kind: Optional[str] = None) -> Any:
    import onnx

    return onnx.helper.make_node(kind or node.op_type, inputs, [node.output[0]], name=node.name, **attributes)


def _value(node: Any, index: int, known: Known) -> Optional[np.ndarray]:
    """An input that must be a constant; None where the node does not have it."""
    import onnx

    if len(node.input) <= index or not node.input[index]:
        return None
    if node.input[index] not in known.constants:
        raise Unsupported(f"operator {node.op_type} takes a computed value for input {index}, which MXNet wants as a constant")
    return np.asarray(onnx.numpy_helper.to_array(known.constants[node.input[index]]))


def _plain(node: Any, known: Known) -> Any:
    del known
    return _made(node, list(node.input), _attributes(node))


def _settled(node: Any, known: Known) -> Any:
    attributes = _attributes(node)
    for index, name in AS_ATTRIBUTES[node.op_type].items():
        value = _value(node, index, known)
        if value is not None:
            attributes[name] = float(value.reshape(-1)[0]) if name in SCALARS else [int(one) for one in value.reshape(-1)]
    if node.op_type == "Clip":
        limits = np.finfo(np.float32)
        attributes = {"min": float(limits.min), "max": float(limits.max), **attributes}
    attributes.pop("noop_with_empty_axes", None)
    return _made(node, [node.input[0]], attributes)


def _reshape(node: Any, known: Known) -> Any:
    shape = _value(node, 1, known)
    if _attributes(node).get("allowzero") and shape is not None and 0 in shape:
        raise Unsupported("operator Reshape makes an empty tensor, which MXNet has not")
    return _made(node, list(node.input), {})


def _gemm(node: Any, known: Known) -> Any:
    import onnx

    inputs, attributes = list(node.input), _attributes(node)
    plain = not attributes.get("transA", 0) and attributes.get("alpha", 1) == attributes.get("beta", 1) == 1
    shapes = [list(known.constants[name].dims) if name in known.constants else [] for name in inputs]
    if plain and attributes.get("transB", 0) and len(inputs) == 3 and len(shapes[1]) == 2 and shapes[2] == shapes[1][:1]:
        return _made(node, inputs, {"num_hidden": shapes[2][0]}, LINEAR)
    if len(inputs) < 3 or not inputs[2]:
        nothing = f"{node.output[0]}/no_addend"
        known.constants[nothing] = onnx.numpy_helper.from_array(np.zeros(1, np.float32), nothing)
        inputs = [*inputs[:2], nothing]
    return _made(node, inputs, attributes)


def _add(node: Any, known: Known) -> Any:
    first, second = (known.shapes.get(name) for name in node.input)
    return _made(node, list(node.input), {}, SAME_SHAPE_ADD if first and first == second else None)


def _matmul(node: Any, known: Known) -> Any:
    weight = _value(node, 1, known)
    if weight is None or weight.ndim != 2:
        raise Unsupported("operator MatMul is a product of matrices of two dimensions in MXNet's importer")
    return _made(node, list(node.input), {})


def _normalisation(node: Any, known: Known) -> Any:
    del known
    attributes = _attributes(node)
    if attributes.pop("training_mode", 0):
        raise Unsupported("operator BatchNormalization is in training mode")
    return _made(node, list(node.input), attributes)


def _softmax(node: Any, known: Known) -> Any:
    del known
    return _made(node, list(node.input), {"axis": -1, **_attributes(node)})


def _identity(node: Any, known: Known) -> Any:
    del known
    return _made(node, [node.input[0]], {}, "Identity")  # Dropout while nothing is trained


def _window(node: Any, known: Known) -> Any:
    """Convolutions and pools: what the importer would pass over without a word is refused."""
    del known
    attributes = _attributes(node)
    if attributes.pop("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise Unsupported(f"operator {node.op_type} has auto_pad, which MXNet's importer passes over")
    pads = list(attributes.get("pads", []))
    if pads[:len(pads) // 2] != pads[len(pads) // 2:]:
        raise Unsupported(f"operator {node.op_type} is padded by more on one side, which MXNet has not")
    if node.op_type.endswith("Pool") and any(size != 1 for size in attributes.pop("dilations", [])):
        raise Unsupported(f"operator {node.op_type} has dilations, which MXNet has not")
    if attributes.get("ceil_mode", 0):
        raise Unsupported(f"operator {node.op_type} has ceil_mode, which MXNet's importer passes over")
    attributes.pop("ceil_mode", None)
    attributes.pop("storage_order", None)
    return _made(node, list(node.input), attributes)


RULES: Dict[str, Callable[[Any, Known], Any]] = {
    **dict.fromkeys(PLAIN, _plain), **dict.fromkeys(AS_ATTRIBUTES, _settled),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool"), _window),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Add": _add, "BatchNormalization": _normalisation, "Dropout": _identity, "Gemm": _gemm, "MatMul": _matmul,
    "Reshape": _reshape,
}
