"""What TensorRT and TensorRT-RTX share: an ONNX file becomes an engine, and an engine runs on a CUDA device.

Their Python modules have the same classes; `trt` is either of them. Building is tried with TensorRT-RTX, which needs no GPU
for it. Running is **not verified on hardware**: no machine with a GPU was at hand.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from .base import Adapter as BaseAdapter
from .base import Feeds, Params, Unsupported
from .cuda_memory import Buffer, Cuda

Shape = Tuple[int, ...]
DEVICE = "cuda"


def refuse_device(params: Params, title: str) -> None:
    """Raises Unsupported where something else than a GPU is asked for."""
    if params.device.split(":")[0] != DEVICE:
        raise Unsupported(f"{title} runs on {DEVICE}, not on {params.device}")


class Messages:
    """What the library says; its functions return None and tell why to the logger only."""

    def __init__(self, trt: Any) -> None:
        said: List[str] = []

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                    said.append(message)

        self.logger, self._said = Logger(), said

    def first(self, otherwise: str) -> str:
        """Its first complaint, shortened: what follows is the echo."""
        return self._said[0][-300:] if self._said else otherwise


def parsed(trt: Any, builder: Any, path: str, messages: Messages, title: str) -> Tuple[Any, Any]:
    """The network of an ONNX file, typed as the file is where the library knows such networks; and its parser.

    Weights lie in the parser's memory: whoever builds must hold it until the engine is there.

    Raises:
        Unsupported: the parser cannot read it, with its operator and words.
    """
    kinds = trt.NetworkDefinitionCreationFlag
    flags = sum(1 << int(getattr(kinds, name)) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(kinds, name))
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, messages.logger)
    if not parser.parse_from_file(path):  # by path: it finds external data beside it
        errors = [parser.get_error(number) for number in range(parser.num_errors)]
        found = "; ".join(f"operator {_operator(error)}: {error.desc()}" for error in errors)
        raise Unsupported(f"{title} cannot read the model: {found[:300] or messages.first('no reason given')}")
    return network, parser


def _operator(error: Any) -> str:
    return str(error.node_operator()) if hasattr(error, "node_operator") else f"of node {error.node()}"


def precision_flags(precision: str, known: Sequence[str]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Names of builder flags to set and to clear, of those that the library knows.

    TF32 is on by default: ten bits of mantissa in every product of what is called fp32. Where networks are strongly typed
    the library has no FP16 and INT8 any more, and the types of the file decide.
    """
    wanted = {"fp16": ("FP16",), "int8": ("INT8",)}.get(precision, ())
    cleared = () if precision == "tf32" else ("TF32",)
    return tuple(name for name in wanted if name in known), tuple(name for name in cleared if name in known)


def apply_precision(trt: Any, config: Any, network: Any, precision: str) -> None:
    """Sets and clears the flags of a builder's configuration."""
    known = list(trt.BuilderFlag.__members__)
    if getattr(network, "get_flag", None) and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") \
            and network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED):
        known = [name for name in known if name not in ("FP16", "INT8")]  # refused beside types that are given
    setting, clearing = precision_flags(precision, known)
    for name in setting:
        config.set_flag(getattr(trt.BuilderFlag, name))
    for name in clearing:
        config.clear_flag(getattr(trt.BuilderFlag, name))


def open_batch(builder: Any, network: Any, config: Any, least: int, most: int) -> None:
    """A profile from `least` to `most`, tuned for the latter, where the model leaves its batch open.

    Raises:
        Unsupported: it leaves more than its batch open.
    """
    profile, wanted = builder.create_optimization_profile(), False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 in shape[1:]:
            raise Unsupported(f"input {tensor.name} leaves more than its batch open: {shape}")
        if shape and shape[0] == -1:
            profile.set_shape(tensor.name, (least, *shape[1:]), (most, *shape[1:]), (most, *shape[1:]))
            wanted = True
    if wanted:
        config.add_optimization_profile(profile)


class Placed:
    """One batch on the device: a buffer for each input and output, and host arrays that outputs come back to."""

    def __init__(self, cuda: Cuda, shapes: Mapping[str, Shape], types: Mapping[str, Any]) -> None:
        self.shapes = dict(shapes)
        self.host = {name: np.empty(shape, dtype=types[name]) for name, shape in shapes.items()}
        self.buffers: Dict[str, Buffer] = {name: cuda.buffer(array.nbytes) for name, array in self.host.items()}


class EngineAdapter(BaseAdapter):
    """What both adapters do once there is an engine; `compile` of each sets `_running`."""

    _running: Running

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Copies to the device, computes, copies back."""
        return self._running.predict(inputs)

    def to_device(self, inputs: Feeds) -> Any:
        """The batch in buffers of its own on the GPU."""
        return self._running.place(inputs)

    def predict_on_device(self, resident: Any) -> Any:
        """Enqueued only; `synchronize` waits."""
        self._running.run(resident)
        return resident

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._running.cuda.synchronize()


class Running:
    """An engine with one execution context, one stream and, for each batch size, buffers that are used again."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, outputs: Sequence[str], messages: Messages) -> None:
        context = engine.create_execution_context()
        if context is None:
            raise Unsupported(f"the engine cannot be run here: {messages.first('no reason given')}")
        self._engine, self._context, self.cuda, self._outputs = engine, context, cuda, list(outputs)
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        self._inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._types = {name: np.dtype(trt.nptype(engine.get_tensor_dtype(name))) for name in names}
        self._by_shape: Dict[Tuple[Shape, ...], Placed] = {}
        self._bound: Any = None  # whose addresses the context has

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Host arrays in, host arrays out; the next call of the same batch size reuses what is returned."""
        key = tuple(inputs[name].shape for name in self._inputs)
        if key not in self._by_shape:
            self._by_shape[key] = self._room_for(inputs)
        placed = self._by_shape[key]
        self._fill(placed, inputs)
        self.run(placed)
        for name in self._outputs:
            self.cuda.download(placed.buffers[name].address, placed.host[name])
        self.cuda.synchronize()
        return [placed.host[name] for name in self._outputs]

    def place(self, inputs: Feeds) -> Placed:
        """A batch that stays on the device, in buffers of its own."""
        placed = self._room_for(inputs)
        self._fill(placed, inputs)
        self.cuda.synchronize()
        return placed

    def run(self, placed: Placed) -> None:
        """Enqueue one inference; the caller synchronises."""
        self._bind(placed)
        if not self._context.execute_async_v3(self.cuda.handle):
            raise RuntimeError("the engine refused to be enqueued")

    def types(self) -> Dict[str, str]:
        """Of every input and output, what the engine computes with."""
        return {name: str(kind) for name, kind in self._types.items()}

    def _fill(self, placed: Placed, inputs: Feeds) -> None:
        for name in self._inputs:
            # The arrays of a batch outlive the call, and a copy from pageable memory has read them when it returns.
            self.cuda.upload(np.ascontiguousarray(inputs[name], dtype=self._types[name]), placed.buffers[name].address)

    def _room_for(self, inputs: Feeds) -> Placed:
        shapes: Dict[str, Shape] = {name: tuple(inputs[name].shape) for name in self._inputs}
        self._bound = None
        self._set_shapes(shapes)
        for name in self._outputs:
            shapes[name] = tuple(self._context.get_tensor_shape(name))
            if -1 in shapes[name]:
                raise Unsupported(f"output {name} has a shape that is known only when the engine has run: {shapes[name]}")
        return Placed(self.cuda, shapes, self._types)

    def _bind(self, placed: Placed) -> None:
        if self._bound is placed:
            return
        self._set_shapes({name: placed.shapes[name] for name in self._inputs})
        for name, buffer in placed.buffers.items():
            self._context.set_tensor_address(name, buffer.address)
        self._bound = placed

    def _set_shapes(self, shapes: Mapping[str, Shape]) -> None:
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise Unsupported(f"the engine was not built for input {name} of shape {shape}")
