"""Writes an ONNX graph at opset 9, where settings were attributes and weights were inputs too, for importers of that age.

ONNX's own version converter has no way down for most of these operators. Which operators an importer takes, and how each is
written for it, are rules of its backend's own: operator → function of a node and what is known of the graph. Imports onnx.
"""
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np

from .base import Unsupported

OPSET, IR_VERSION = 9, 3
OWN = ("", "ai.onnx")
# Inputs (by position) that were attributes once; only constants can go back.
AS_ATTRIBUTES = {
    "Clip": {1: "min", 2: "max"}, "Squeeze": {1: "axes"}, "Unsqueeze": {1: "axes"}, "Pad": {1: "pads", 2: "value"},
    **{"Reduce" + kind: {1: "axes"} for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare")},
}
SCALARS = ("min", "max", "value")


@dataclass(frozen=True)
class Known:
    """What rules may ask of the graph."""

    constants: Dict[str, Any]  # rules may add to them
    shapes: Dict[str, List[Any]]  # numbers, names of open dimensions, and for unknown ones what equals nothing else
    reader: str  # for whom the graph is written, as sentences name it
    opset: int = OPSET  # of the file that is read


Rule = Callable[[Any, Known], Any]  # node → the node at opset 9, or several


def lower(model: Any, rules: Mapping[str, Rule], reader: str) -> Any:
    """The same graph at opset 9. Raises Unsupported naming every operator that has no way there."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    kept, lacking = [], set()
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in OWN:
            constants[node.output[0]] = named(_constant(node), node.output[0])
        elif node.domain not in OWN or node.op_type not in rules:
            lacking.add(node.op_type)
        else:
            kept.append(node)
    if lacking:
        names = sorted(lacking)
        raise Unsupported("{} has no {}".format(reader, names[0]) if len(names) == 1 else
                          "{} has none of the operators {}".format(reader, ", ".join(names)))
    opset = max([entry.version for entry in model.opset_import if entry.domain in OWN] or [1])
    known = Known(constants=constants, shapes=_shapes(model), reader=reader, opset=opset)
    nodes: List[Any] = []
    for node in kept:
        made_of_it = rules[node.op_type](node, known)
        nodes.extend(made_of_it if isinstance(made_of_it, list) else [made_of_it])
    return _rebuilt(model, nodes, constants)


def _constant(node: Any) -> Any:
    import onnx

    given = attributes(node)
    if "value" in given:
        return given["value"]
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in given:
            return onnx.numpy_helper.from_array(np.array(given[name], np.float32 if "float" in name else np.int64))
    raise Unsupported("operator Constant holds something else than numbers")


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
    return {tensor.name: [dim.dim_value or dim.dim_param or object() for dim in tensor.type.tensor_type.shape.dim]
            for tensor in (*graph.value_info, *graph.input, *graph.output) if tensor.type.tensor_type.HasField("shape")}


def attributes(node: Any) -> Dict[str, Any]:
    """By name, as Python's values."""
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def named(tensor: Any, name: str) -> Any:
    """A copy of the tensor under that name."""
    import onnx

    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def made(node: Any, inputs: List[str], given: Dict[str, Any], kind: Optional[str] = None) -> Any:
    """The node with other inputs and attributes, and with its first output alone."""
    import onnx

    return onnx.helper.make_node(kind or node.op_type, inputs, [node.output[0]], name=node.name, **given)


def value(node: Any, index: int, known: Known) -> Optional[np.ndarray]:
    """An input that must be a constant; None where the node does not have it."""
    import onnx

    if len(node.input) <= index or not node.input[index]:
        return None
    if node.input[index] not in known.constants:
        raise Unsupported("operator {} takes a computed value for input {}, which {} wants as a constant".format(
            node.op_type, index, known.reader))
    return np.asarray(onnx.numpy_helper.to_array(known.constants[node.input[index]]))


def plain(node: Any, known: Known) -> Any:
    """As it is."""
    del known
    return made(node, list(node.input), attributes(node))


def settled(node: Any, known: Known) -> Any:
    """With its settings as attributes again."""
    given = attributes(node)
    for index, name in AS_ATTRIBUTES[node.op_type].items():
        found = value(node, index, known)
        if found is not None:
            given[name] = float(found.reshape(-1)[0]) if name in SCALARS else [int(one) for one in found.reshape(-1)]
    if node.op_type == "Clip":
        limits = np.finfo(np.float32)
        given = {"min": float(limits.min), "max": float(limits.max), **given}
    if given.pop("noop_with_empty_axes", 0) and not given.get("axes"):
        return identity(node, known)
    return made(node, [node.input[0]], given)


def identity(node: Any, known: Known) -> Any:
    """What changes nothing while nothing is trained."""
    del known
    return made(node, [node.input[0]], {}, "Identity")


def normalisation(node: Any, known: Known) -> Any:
    """BatchNormalization of a model that is not being trained."""
    del known
    given = attributes(node)
    if given.pop("training_mode", 0):
        raise Unsupported("operator BatchNormalization is in training mode")
    given.pop("is_test", None)  # of opset 6 and older, whose other meaning was training
    return made(node, list(node.input), given)


def window(node: Any, known: Known) -> Any:
    """Convolutions and pools: what importers of that age pass over without a word is refused."""
    given = attributes(node)
    if given.pop("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise Unsupported("operator {} has auto_pad, which {} passes over".format(node.op_type, known.reader))
    pads = list(given.get("pads", []))
    if pads[:len(pads) // 2] != pads[len(pads) // 2:]:
        raise Unsupported("operator {} is padded by more on one side, which {} has not".format(node.op_type, known.reader))
    if node.op_type.endswith("Pool") and any(size != 1 for size in given.pop("dilations", [])):
        raise Unsupported("operator {} has dilations, which {} has not".format(node.op_type, known.reader))
    if given.pop("ceil_mode", 0):
        raise Unsupported("operator {} has ceil_mode, which {} passes over".format(node.op_type, known.reader))
    given.pop("storage_order", None)
    return made(node, list(node.input), given)
