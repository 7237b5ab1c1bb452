"""TensorRT-RTX: an ONNX file becomes an engine, for which no GPU is needed; where it is loaded, the driver decides.

The first half of its compilation is this conversion; the second, kernels for the GPU at hand, is made when the engine's
execution context is. Building is tried for real; running is **not verified on hardware**.
"""
from __future__ import annotations

import os
import tempfile
from typing import Dict

import numpy as np

from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported
from .cuda_memory import Cuda
from .tensorrt_engine import DEVICE, EngineAdapter, Messages, Running, apply_precision, open_batch, parsed, refuse_device

FILE = "model.engine"
ARTIFACT_FORMATS = {".engine": "tensorrt_rtx"}
TITLE = "TensorRT-RTX"
PRECISIONS = ("fp32", "tf32", "fp16", "int8")
NARROW = ("fp16", "int8")  # made by ONNX Runtime's tools, from the ONNX file
CACHE_NOTE = "the engine is the conversion, which is kept; the kernels that are made from it where it is loaded are not"


class Adapter(EngineAdapter):
    """One engine; its kernels for this GPU are made in `compile`."""

    def __init__(self) -> None:
        import tensorrt_rtx_bindings as rtx

        self._rtx = rtx

    def load(self, path: str, params: Params) -> None:
        """Raises Unsupported where the driver refuses, with TensorRT-RTX's words."""
        refuse_device(params, TITLE)
        self._params, self._messages = params, Messages(self._rtx)
        self._runtime = self._rtx.Runtime(self._messages.logger)  # an engine lives no longer than its runtime
        with open(path, "rb") as file:
            self._engine = self._runtime.deserialize_cuda_engine(file.read())
        if self._engine is None:
            raise Unsupported(f"{TITLE} cannot load the engine here: {self._messages.first('no reason given')}")

    def compile(self, example: Feeds) -> bool:
        """The execution context, for which kernels are made."""
        del example
        self._running = Running(self._rtx, self._engine, Cuda(), self._params.output_order, self._messages)
        return True

    def evidence(self) -> Evidence:
        """An engine runs on a GPU or not at all; which one, as the CUDA runtime names it."""
        return Evidence(
            device=DEVICE, executed_on=[TITLE],
            detail={"gpu": self._running.cuda.device(), "types": self._running.types(), "layers": self._engine.num_layers},
            cache=CacheUse(kind="none", note=CACHE_NOTE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """The distribution of the libraries."""
        return {"tensorrt-rtx-cu13-libs": self._rtx.__version__, "numpy": np.__version__}


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the engine's file name below `out_dir`.

    Its networks are typed as the file is: fp16 and int8 are a conversion before.

    Raises:
        Unsupported: another precision or capability, or an operator, with TensorRT-RTX's own words.
    """
    if params.precision not in PRECISIONS:
        raise Unsupported(f"{TITLE} has no {params.precision} here")
    with tempfile.TemporaryDirectory() as scratch:
        if params.precision in NARROW:
            from .onnxruntime_convert import convert as narrowed

            path = os.path.join(scratch, narrowed(path, scratch, params, symmetric=True))
        _build(path, os.path.join(out_dir, FILE), params)
    return FILE


def _build(path: str, target: str, params: ConvertParams) -> None:
    import tensorrt_rtx_bindings as rtx

    capability = str(params.settings.get("compute_capability", "SM89"))
    if not capability.startswith("SM") or not hasattr(rtx.ComputeCapability, capability):
        raise Unsupported(f"{TITLE} builds for no compute capability {capability!r}")
    messages = Messages(rtx)
    builder = rtx.Builder(messages.logger)
    network, parser = parsed(rtx, builder, path, messages, TITLE)
    config = builder.create_builder_config()
    apply_precision(rtx, config, network, params.precision)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(rtx.ComputeCapability, capability), 0)
    open_batch(builder, network, config, 1, int(params.settings.get("max_batch", 32)))
    engine = builder.build_serialized_network(network, config)
    del parser  # the weights were its until here
    if engine is None:
        raise Unsupported(f"{TITLE} built no engine: {messages.first('no reason given')}")
    with open(target, "wb") as file:
        file.write(engine)
