"""ONNX → ONNX in fewer bits, with ONNX Runtime's own tools; runs in the converter's environment (onnxruntime and onnx).

Inputs and outputs keep their types, so the adapter feeds the converted file what it feeds the original.
"""
from __future__ import annotations

import os
import tempfile
from typing import Any, Iterator, Optional

from .base import ConvertParams, Feeds, Unsupported

FILE = "model.onnx"
MAX_BYTES = 2 ** 31 - 2 ** 20  # these tools hold the model as one protobuf message
METHODS = ("static", "dynamic")


def convert(path: str, out_dir: str, params: ConvertParams, *, symmetric: bool = False) -> str:
    """Returns the name of the converted file below `out_dir`; `symmetric` keeps every zero point of int8 at zero.

    Raises:
        Unsupported: another precision, a model that is too large, or one in which nothing can be quantised.
    """
    if params.precision not in ("fp16", "int8"):
        raise Unsupported(f"ONNX Runtime has no conversion to {params.precision}")
    if _bytes(path) > MAX_BYTES:
        raise Unsupported("ONNX Runtime's conversion tools take models of up to 2 GB")
    target = os.path.join(out_dir, FILE)
    if params.precision == "fp16":
        _half(path, target)
    else:
        _quantised(path, target, params, symmetric=symmetric)
    return FILE


def _half(path: str, target: str) -> None:
    """Weights and operators in float16, with a Cast behind each input and before each output."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), target)


def _quantised(path: str, target: str, params: ConvertParams, *, symmetric: bool) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    method = params.settings.get("quantization", "static")
    if method not in METHODS:
        raise Unsupported(f"quantization is one of {', '.join(METHODS)}, not {method!r}")
    with tempfile.TemporaryDirectory() as scratch:
        ready = os.path.join(scratch, FILE)
        # Shapes by sympy are for transformers with computed shapes, and need a package more.
        quant_pre_process(path, ready, skip_symbolic_shape=True)
        if method == "dynamic":
            # Unsigned weights: the CPU's ConvInteger takes no others.
            quantize_dynamic(ready, target, weight_type=QuantType.QUInt8)
        else:
            # What the vendor recommends to begin with on a CPU: QDQ, both signed, weights by channel.
            quantize_static(ready, target, _reader(params), quant_format=QuantFormat.QDQ, per_channel=True,
                            # TensorRT refuses a model in which an embedding is quantised (MiniLM), and is half as wrong without.
                            op_types_to_quantize=["Conv", "MatMul", "Gemm"] if symmetric else None,
                            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                            # A bias in 32-bit integers is the CPU's way; kernels of GPUs take it as a float.
                            extra_options={"ActivationSymmetric": True, "QuantizeBias": False} if symmetric else None)
    _refuse_untouched(target)


def _reader(params: ConvertParams) -> Any:
    """The model's own inputs, one inference at a time: what the ranges of activations are measured on."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Feeds] = iter(params.feeds())

        def get_next(self) -> Optional[Feeds]:
            return next(self._rows, None)

    return Reader()


def _refuse_untouched(path: str) -> None:
    import onnx

    kinds = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    if not any("QuantizeLinear" in kind or "Integer" in kind or kind.startswith("QLinear") for kind in kinds):
        raise Unsupported("the model holds no operator that ONNX Runtime quantises")


def _bytes(path: str) -> int:
    """Of the file and the external data beside it."""
    import onnx

    folder = os.path.dirname(os.path.abspath(path))
    graph = onnx.load(path, load_external_data=False).graph
    beside = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    return sum(os.path.getsize(os.path.join(folder, name)) for name in {os.path.basename(path), *beside})
