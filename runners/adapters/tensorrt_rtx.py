"""TensorRT-RTX: an ONNX file becomes an engine, for which no GPU is needed. Running engines is not built in yet.

The first half of its compilation is this conversion; the second, kernels for the GPU at hand, is made where it is loaded.
"""
from __future__ import annotations

import os
from typing import Any, Dict, List

from .base import Adapter as BaseAdapter
from .base import ConvertParams, Params, Unsupported

FILE = "model.engine"
NO_INFERENCE = "running TensorRT-RTX engines is not built in yet (no GPU was at hand to try it on): only building them is"


class Adapter(BaseAdapter):
    """Loads an engine as far as it goes: the driver decides."""

    def __init__(self) -> None:
        import tensorrt_rtx_bindings as rtx

        self._rtx = rtx

    def load(self, path: str, params: Params) -> None:
        """Always `Unsupported`: without a driver with its words, with one because nothing runs the engine yet."""
        del params
        messages = _Messages(self._rtx)
        with open(path, "rb") as file:
            engine = self._rtx.Runtime(messages.logger).deserialize_cuda_engine(file.read())
        if engine is None:
            raise Unsupported(f"TensorRT-RTX cannot load the engine here: {messages.first('no reason given')}")
        raise Unsupported(NO_INFERENCE)

    def versions(self) -> Dict[str, str]:
        """The distribution of the libraries."""
        return {"tensorrt-rtx-cu13-libs": self._rtx.__version__}


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the engine's file name below `out_dir`.

    Raises:
        Unsupported: another precision or capability, or an operator, with TensorRT-RTX's own words.
    """
    import tensorrt_rtx_bindings as rtx

    if params.precision not in ("fp32", "tf32"):
        raise Unsupported(f"TensorRT-RTX has no {params.precision} here")
    capability = str(params.settings.get("compute_capability", "SM89"))
    if not capability.startswith("SM") or not hasattr(rtx.ComputeCapability, capability):
        raise Unsupported(f"TensorRT-RTX builds for no compute capability {capability!r}")
    messages = _Messages(rtx)
    builder = rtx.Builder(messages.logger)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, messages.logger)
    if not parser.parse_from_file(path):  # by path: it finds external data beside it
        errors = [parser.get_error(number) for number in range(parser.num_errors)]
        found = "; ".join(f"operator {error.node_operator()}: {error.desc()}" for error in errors)
        raise Unsupported(f"TensorRT-RTX cannot read the model: {found[:300] or messages.first('no reason given')}")
    config = builder.create_builder_config()
    if params.precision == "fp32":  # TF32 is its default: ten bits of mantissa in every product
        config.clear_flag(rtx.BuilderFlag.TF32)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(rtx.ComputeCapability, capability), 0)
    _open_batch(builder, network, config, int(params.settings.get("max_batch", 32)))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise Unsupported(f"TensorRT-RTX built no engine: {messages.first('no reason given')}")
    with open(os.path.join(out_dir, FILE), "wb") as file:
        file.write(engine)
    return FILE


def _open_batch(builder: Any, network: Any, config: Any, most: int) -> None:
    """A profile from 1 to `most` where the model leaves its batch open. Raises Unsupported where it leaves more than that."""
    profile, wanted = builder.create_optimization_profile(), False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 in shape[1:]:
            raise Unsupported(f"input {tensor.name} leaves more than its batch open: {shape}")
        if shape and shape[0] == -1:
            profile.set_shape(tensor.name, (1, *shape[1:]), (most, *shape[1:]), (most, *shape[1:]))
            wanted = True
    if wanted:
        config.add_optimization_profile(profile)


class _Messages:
    """What the library says; its functions return None and tell why to the logger only."""

    def __init__(self, rtx: Any) -> None:
        said: List[str] = []

        class Logger(rtx.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                rtx.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (rtx.ILogger.ERROR, rtx.ILogger.INTERNAL_ERROR):
                    said.append(message)

        self.logger, self._said = Logger(), said

    def first(self, otherwise: str) -> str:
        """Its first complaint, shortened: what follows is the echo."""
        return self._said[0][-300:] if self._said else otherwise
