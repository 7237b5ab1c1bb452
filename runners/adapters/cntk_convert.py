"""ONNX of any age → ONNX at opset 9, the newest that CNTK's importer reads; runs in the converter's environment (onnx)."""
import os
from typing import Any

import numpy as np

from .base import ConvertParams, Unsupported
from .cntk_lower import lower

FILE = "model.onnx"


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the file below `out_dir`.

    Raises:
        Unsupported: an operator, type or shape that CNTK or its importer has not.
    """
    import onnx

    if params.precision != "fp32":
        raise Unsupported("CNTK runs fp32 here, not {}".format(params.precision))
    model = onnx.load(path)
    for tensor in model.graph.output:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type))
        if dtype != np.float32:
            raise Unsupported("output {} is {}, and CNTK computes with floats only".format(tensor.name, dtype.name))
    lowered = lower(model)
    for name in params.input_order:
        if params.samples[name].dtype != np.float32:
            raise Unsupported("input {} is {}, and CNTK computes with floats only".format(name, params.samples[name].dtype.name))
    if len(lowered.graph.output) > 1:
        _name_outputs(lowered)
    onnx.save(lowered, os.path.join(out_dir, FILE))
    return FILE


def _name_outputs(model: Any) -> None:
    """The importer names what it makes after nodes, and not all of it: each output gets a last node of its name."""
    import onnx

    for tensor in model.graph.output:
        inner = tensor.name + "/computed"
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == tensor.name:
                        names[index] = inner
        model.graph.node.append(onnx.helper.make_node("Identity", [inner], [tensor.name], name=tensor.name))
