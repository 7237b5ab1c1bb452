"""Writes an ONNX graph with the operators that jaxonnxruntime 0.3 can trace under today's JAX.

Its Clip calls `jnp.clip` by a name that JAX has dropped, it has no LayerNormalization, and of many operators it knows some
versions only. What ONNX itself defines as a function of others is written out by ONNX's own inliner.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from .base import Unsupported

RAISED_TO = 16  # of most operators the importer has the version of this opset
ROUNDS = 4  # a function of functions of functions
# Inputs (by position) that the importer fixes while it traces.
FIXED = {"Slice": (1, 2, 3, 4), "Range": (0, 1, 2), "ConstantOfShape": (0,), "NonZero": (0,), "OneHot": (1,), **dict.fromkeys((
    "Reshape", "Expand", "Unsqueeze", "Squeeze", "Split", "Pad", "TopK", "Trilu", "ReduceSum", "ReduceMean", "ReduceMax"), (1,))}
WIDE = ("INT64", "UINT64", "DOUBLE")


def lower(model: Any) -> Any:
    """The same graph in operators that the importer has; uses the given one up. Raises Unsupported naming those it has not."""
    import onnx
    from onnx import inliner

    for node in model.graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
    if _opset(model) < RAISED_TO and _lacking(model) - {"Clip"}:
        try:
            model = onnx.shape_inference.infer_shapes(onnx.version_converter.convert_version(model, RAISED_TO), data_prop=True)
        except Exception as error:  # the converter's own errors have no common type; what lacks is named below
            del error
    by_hand(model)
    for _ in range(ROUNDS):
        lacking = _lacking(model)
        if not lacking:
            return model
        wanted = [("", kind) for kind in sorted(lacking)]
        model = inliner.inline_selected_functions(model, wanted, exclude=False, inline_schema_functions=True)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        by_hand(model)
    names = sorted(_lacking(model))
    if not names:
        return model
    which = f"the operator {names[0]}" if len(names) == 1 else f"the operators {', '.join(names)}"
    raise Unsupported(f"jaxonnxruntime has no translation of {which} as of opset {_opset(model)}")


def check_fixed(model: Any, inputs: Sequence[str]) -> None:
    """Raises Unsupported where the trace would fix what depends on the values of the inputs, and not on their shapes alone."""
    depends = set(inputs)
    for node in model.graph.node:
        if any(index < len(node.input) and node.input[index] in depends for index in FIXED.get(node.op_type, ())):
            raise Unsupported(f"the operator {node.op_type} takes its shape or axes from the inputs' values, which a trace fixes")
        if node.op_type not in ("Shape", "Size") and depends.intersection(node.input):
            depends.update(node.output)


def is_wide(model: Any) -> bool:
    """Whether anything in the file is of 64 bits, which JAX makes 32 unless told not to: 2**63 - 1, "to the end", becomes -1."""
    from onnx import TensorProto

    wide = {TensorProto.DataType.Value(name) for name in WIDE}
    graph = model.graph
    kinds = {tensor.data_type for tensor in graph.initializer}
    kinds |= {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    return bool(kinds & wide) or any(node.op_type in ("Constant", "Shape", "Cast", "If") for node in graph.node)


def _opset(model: Any) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _lacking(model: Any) -> Set[str]:
    """Operators, foreign ones with their domain, that the importer has not in the version which this opset means."""
    from jaxonnxruntime import onnx_ops  # noqa: F401  # importing it registers the handlers
    from jaxonnxruntime.core.handler import Handler

    handlers = {(one.DOMAIN, one.OP_TYPE): one for one in Handler.__subclasses__() if hasattr(one, "OP_TYPE")}
    opset, found = _opset(model), set()
    for node in model.graph.node:
        handler = handlers.get((node.domain, node.op_type))
        if node.domain:
            found.add(f"{node.domain}::{node.op_type}")
        elif handler is None or node.op_type == "Clip" or not hasattr(handler, f"version_{handler.get_since_version(opset)}"):
            found.add(node.op_type)
    return found


def by_hand(model: Any) -> None:
    """Clip as Max and Min; LayerNormalization as its definition has it, which ONNX's own expansion computes less exactly."""
    writer = _Writer(model)
    nodes: List[Any] = []
    for node in model.graph.node:
        made = None
        if node.domain == "" and node.op_type == "Clip":
            made = _clip(node, writer)
        elif node.domain == "" and node.op_type == "LayerNormalization":
            made = _layer_normalization(node, writer)
        nodes.extend([node] if made is None else made)
    kept = [_copy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


class _Writer:
    """New constants and names in one graph, and what is known of its tensors."""

    def __init__(self, model: Any) -> None:
        self.opset = _opset(model)
        self._graph = model.graph
        self._types: Dict[str, Tuple[int, Optional[int]]] = {
            tensor.name: (tensor.data_type, len(tensor.dims)) for tensor in model.graph.initializer}
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            kind = value.type.tensor_type
            self._types[value.name] = (kind.elem_type, len(kind.shape.dim) if kind.HasField("shape") else None)
        self._constants = {tensor.name for tensor in model.graph.initializer}

    def dtype(self, name: str) -> Optional[Any]:
        """Of a tensor, where inference told."""
        import onnx

        kind = self._types.get(name, (0, None))[0]
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else None

    def rank(self, name: str) -> Optional[int]:
        """Of a tensor, where inference told."""
        return self._types.get(name, (0, None))[1]

    def constant(self, name: str, value: np.ndarray) -> str:
        """Its name in the graph."""
        import onnx

        if name not in self._constants:
            self._constants.add(name)
            self._graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return name


def _clip(node: Any, writer: _Writer) -> Optional[List[Any]]:
    import onnx

    source, dtype = node.input[0], writer.dtype(node.input[0])
    settings = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    bounds = []
    for index, (kind, name) in enumerate((("Max", "min"), ("Min", "max")), start=1):
        given = node.input[index] if len(node.input) > index else ""
        if name in settings and dtype is not None:  # an attribute, before opset 11
            given = writer.constant(f"{node.output[0]}/{name}", np.asarray(settings[name], dtype))
        elif name in settings:
            return None
        if given:
            bounds.append((kind, given))
    made = []
    for number, (kind, bound) in enumerate(bounds, start=1):
        target = node.output[0] if number == len(bounds) else f"{node.output[0]}/clip"
        made.append(onnx.helper.make_node(kind, [source, bound], [target]))
        source = target
    return made or [onnx.helper.make_node("Identity", [source], [node.output[0]])]


def _layer_normalization(node: Any, writer: _Writer) -> Optional[List[Any]]:
    import onnx

    settings = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    source, rank, dtype = node.input[0], writer.rank(node.input[0]), writer.dtype(node.input[0])
    axis = settings.get("axis", -1)
    if dtype not in (np.float32, np.float64) or (axis >= 0 and rank is None):
        return None  # half precision is to be normalised in single: left to what ONNX says of it
    axes = list(range(axis - rank if axis >= 0 and rank is not None else axis, 0))
    out = node.output[0]
    outputs = [*node.output, "", ""]
    mean, inverse = outputs[1] or f"{out}/mean", outputs[2]
    epsilon = writer.constant(f"{out}/epsilon", np.asarray(settings.get("epsilon", 1e-5), dtype))

    def reduced(name: str, target: str) -> Any:
        if writer.opset >= 18:
            listed = writer.constant(f"{out}/axes", np.asarray(axes, np.int64))
            return onnx.helper.make_node("ReduceMean", [name, listed], [target], keepdims=1)
        return onnx.helper.make_node("ReduceMean", [name], [target], axes=axes, keepdims=1)

    steps = [("Sub", [source, mean], "centred"), ("Mul", [f"{out}/centred", f"{out}/centred"], "squared")]
    made = [reduced(source, mean), *(onnx.helper.make_node(kind, names, [f"{out}/{to}"]) for kind, names, to in steps),
            reduced(f"{out}/squared", f"{out}/variance")]
    steps = [("Add", [f"{out}/variance", epsilon], "shifted"), ("Sqrt", [f"{out}/shifted"], "deviation"),
             ("Div", [f"{out}/centred", f"{out}/deviation"], "normal"), ("Mul", [f"{out}/normal", node.input[1]], "scaled")]
    made.extend(onnx.helper.make_node(kind, names, [f"{out}/{to}"]) for kind, names, to in steps)
    bias = node.input[2] if len(node.input) > 2 else ""
    made.append(onnx.helper.make_node("Add", [f"{out}/scaled", bias], [out]) if bias else
                onnx.helper.make_node("Identity", [f"{out}/scaled"], [out]))
    if inverse:
        made.append(onnx.helper.make_node("Reciprocal", [f"{out}/deviation"], [inverse]))
    return made


def _copy(node: Any) -> Any:
    import onnx

    copy = onnx.NodeProto()  # clearing the list that a node belongs to clears the node
    copy.CopyFrom(node)
    return copy
