"""An ONNX graph as onnx2tf understands it: shapes that are known, a batch that is free, GELU in the order that LiteRT knows.

Exporters compute the shape of a Reshape from that of its input. onnx2tf then knows no shapes and places axes wrongly, or gives
up. So the graph is folded for one batch size that stands out, and that size made free again where it was the batch.
"""
from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from .base import ConvertParams, Unsupported

STAND_IN = 7  # the batch size that shapes are folded for; another where a model's own dimensions have it
MAX_BYTES = 2 ** 31 - 2 ** 20
INV_SQRT2 = 0.7071067811865476


def prepared(path: str, params: ConvertParams) -> Tuple[Any, bool]:
    """The graph for onnx2tf, and whether it takes any batch (else: one sample, or the model's own fixed batch).

    Raises:
        Unsupported: a model that is too large, or an operator that is not ONNX's own.
    """
    import onnx

    folder = os.path.dirname(os.path.abspath(path))
    bare = onnx.load(path, load_external_data=False)
    beside = {entry.value for tensor in bare.graph.initializer for entry in tensor.external_data if entry.key == "location"}
    if sum(os.path.getsize(os.path.join(folder, name)) for name in {os.path.basename(path), *beside}) > MAX_BYTES:
        raise Unsupported("onnx2tf and a SavedModel take models of up to 2 GB")
    for node in bare.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operator {node.domain}::{node.op_type} is none of ONNX's own")
    model = onnx.load(path)
    free = _folded(model, params, _stand_in(model)) if params.batchable else None
    graph = free if free is not None else _folded(model, params, None)
    made = graph if graph is not None else model
    reorder_gelu(made)
    _rename(made)
    return made, free is not None


def _rename(model: Any) -> None:
    """No name begins with a slash: onnx2tf calls a grouped convolution's variables after its node, and TensorFlow refuses it."""
    for node in model.graph.node:
        if node.name.startswith("/"):
            node.name = "node" + node.name


def _stand_in(model: Any) -> int:
    """A size that no tensor of the model has by itself."""
    own = {size for tensor in model.graph.initializer for size in tensor.dims}
    own |= {dim.dim_value for tensor in model.graph.input for dim in tensor.type.tensor_type.shape.dim}
    return next(size for size in range(STAND_IN, 10_000, 2) if size not in own)


def _folded(model: Any, params: ConvertParams, batch: Optional[int]) -> Optional[Any]:
    """Simplified with fixed shapes, then with `batch` made free; None where that cannot be."""
    import onnx
    import onnxsim

    shapes = {name: _shape(params, name, batch) for name in params.input_order}
    try:
        folded, right = onnxsim.simplify(model, overwrite_input_shapes=shapes)
        if not right:
            return None
        if batch is not None:
            if not free_batch(folded, batch):
                return None
            folded = onnx.shape_inference.infer_shapes(folded)
        onnx.checker.check_model(folded)
    except Exception as error:  # what cannot be simplified is given to onnx2tf as it is
        print(f"onnxsim: {error}")
        return None
    return folded


def _shape(params: ConvertParams, name: str, batch: Optional[int]) -> List[int]:
    shape = list(params.samples[name].shape)
    return [batch or 1, *shape[1:]] if params.batchable else shape[1:]


def free_batch(model: Any, batch: int) -> bool:
    """Give the batch axis its freedom back in a graph that was folded for `batch`; False where it is in a constant's values.

    A Reshape's target gets -1 for the batch and the known sizes for the others; any other integer constant that holds
    `batch` may mean it, so the graph then stays as it is.
    """
    import onnx
    from onnx import numpy_helper

    inferred = onnx.shape_inference.infer_shapes(model)
    shapes: Dict[str, List[int]] = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.output)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    uses: Dict[str, List[Tuple[Any, int]]] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            uses.setdefault(name, []).append((node, position))
    for name, tensor in constants.items():
        values = numpy_helper.to_array(tensor)
        if values.dtype not in (np.int64, np.int32) or not (values == batch).any():
            continue
        at = uses.get(name, [])
        targets = [shapes.get(node.output[0], []) for node, _ in at]
        plain = all(node.op_type == "Reshape" and position == 1 for node, position in at)
        if not plain or any(target != targets[0] or not target or target[0] != batch or batch in target[1:] or 0 in target
                            for target in targets):
            return False
        tensor.CopyFrom(numpy_helper.from_array(np.array([-1, *targets[0][1:]], values.dtype), name))
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and (not dims or dims[0].dim_value != batch):
            return False
        if value.name not in constants:
            dims[0].dim_param = "batch"
    del model.graph.value_info[:]
    return True


def reorder_gelu(model: Any) -> int:
    """x·(1 + erf(x/√2))·½ as (½·x)·(1 + erf(x/√2)): the one order in which LiteRT's converter finds GELU; how many there were.

    LiteRT has no Erf of its own, and halving is exact, so only the name of what is computed changes.
    """
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    readers: Dict[str, List[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    scalars = _scalars(model)
    kept = {value.name for value in graph.output}
    found = 0
    for last in list(graph.node):
        half = _other(last, scalars, 0.5) if last.op_type == "Mul" else None
        product = makers.get(half) if half else None
        if product is None or product.op_type != "Mul" or len(readers[half]) != 1 or half in kept:
            continue
        for x, gate in (tuple(product.input), tuple(product.input)[::-1]):
            plus = makers.get(gate)
            inside = _other(plus, scalars, 1.0) if plus is not None and plus.op_type == "Add" else None
            erf = makers.get(inside) if inside else None
            scaled = makers.get(erf.input[0]) if erf is not None and erf.op_type == "Erf" else None
            if scaled is not None and _is_scaled(scaled, x, scalars):
                constant = next(name for name in last.input if name != half)
                # `gate` was made before `product`, so the nodes' order holds.
                product.input[:], last.input[:] = [x, constant], [half, gate]
                found += 1
                break
    return found


def _scalars(model: Any) -> Dict[str, float]:
    from onnx import numpy_helper

    values = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == 1 and int(np.prod(tensor.dims)) == 1:
            values[tensor.name] = float(numpy_helper.to_array(tensor).reshape(()))
    return values


def _other(node: Any, scalars: Dict[str, float], wanted: float) -> Optional[str]:
    """The input of a node of two that is not the constant `wanted`."""
    for one, other in (tuple(node.input), tuple(node.input)[::-1]):
        if abs(scalars.get(one, float("nan")) - wanted) < 1e-6:
            return str(other)
    return None


def _is_scaled(node: Any, x: str, scalars: Dict[str, float]) -> bool:
    """Whether the node is x/√2."""
    if node.op_type == "Div":
        return bool(node.input[0] == x and abs(scalars.get(node.input[1], 0.0) * INV_SQRT2 - 1) < 1e-5)
    return bool(node.op_type == "Mul" and _other(node, scalars, INV_SQRT2) == x)
