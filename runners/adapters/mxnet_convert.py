"""ONNX → MXNet's own files; runs in the converter's environment (mxnet and onnx).

Writes `model.mxnet` (the symbol, as JSON), `model.params` and `model.json`: names and types for the adapter.
"""
from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, List

import numpy as np

from .base import ConvertParams, Unsupported
from .mxnet_lower import extend, lower

SYMBOL, WEIGHTS, ABOUT = "model.mxnet", "model.params", "model.json"


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the symbol's file below `out_dir`.

    Raises:
        Unsupported: an operator, type or shape that MXNet or its importer has not.
    """
    import onnx

    if params.precision != "fp32":
        raise Unsupported(f"MXNet runs fp32 here, not {params.precision}")
    model = onnx.load(path)
    outputs = [_output(tensor) for tensor in model.graph.output]
    lowered = lower(model)
    for name in params.input_order:
        array = params.samples[name]
        if array.dtype != np.float32:
            raise Unsupported(f"MXNet's importer knows float inputs only, and {name} is {array.dtype.name}")
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        opset9 = os.path.join(scratch, "model.onnx")
        onnx.save(lowered, opset9)
        symbol, arguments, auxiliary = _imported(opset9)
    unknown = set(symbol.list_inputs()) - set(arguments) - set(auxiliary) - set(params.input_order)
    if unknown:
        raise Unsupported(f"MXNet's importer leaves {', '.join(sorted(unknown))} without a value")
    import mxnet

    symbol.save(os.path.join(out_dir, SYMBOL))
    mxnet.nd.save(os.path.join(out_dir, WEIGHTS), {**{f"arg:{name}": value for name, value in arguments.items()},
                                                   **{f"aux:{name}": value for name, value in auxiliary.items()}})
    with open(os.path.join(out_dir, ABOUT), "w", encoding="utf-8") as file:
        json.dump({"inputs": list(params.input_order), "outputs": outputs}, file, indent=1)
    return SYMBOL


def _imported(path: str) -> List[Any]:
    from mxnet.contrib import onnx as importer
    from mxnet.contrib.onnx.onnx2mx._import_helper import _convert_map

    extend(_convert_map)
    try:
        return list(importer.import_model(path))
    except (NotImplementedError, AssertionError) as error:
        raise Unsupported(f"MXNet's importer refuses the model: {error}") from error


def _output(tensor: Any) -> Dict[str, Any]:
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
    if dtype != np.float32:
        raise Unsupported(f"output {tensor.name} is {np.dtype(dtype).name}, and MXNet's importer knows float only")
    return {"name": tensor.name, "dtype": "float32"}
