"""A CUDA runtime and an engine made by hand, for what an adapter does around them: no machine with a GPU was at hand.

Device memory is memory of this process that only the runtime's own functions may touch; the engine reads and writes it by the
addresses that it was given. It computes y = 2 x for batches of 1 to 8.
"""

from __future__ import annotations

import ctypes
import enum
import types
from typing import Any

import numpy as np

MOST_BYTES = 1 << 20
_WORDS = {2: b"out of memory", 100: b"no CUDA-capable device is detected", 1: b"invalid argument"}


class Runtime:
    """As `cuda.bindings.runtime`: every function returns a tuple whose first is the error."""

    class cudaMemcpyKind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    def __init__(self, *, devices: int = 1) -> None:
        self.devices = devices
        self.blocks: dict[int, Any] = {}  # address -> memory
        self.queued = 0  # of what was enqueued and not waited for

    def cudaStreamCreate(self) -> tuple[Any, ...]:
        return (0, 77) if self.devices else (100, 0)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        assert stream == 77
        self.queued = 0
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if size > MOST_BYTES:
            return (2, 0)
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return (0, ctypes.addressof(block))

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        return (0,) if self.blocks.pop(address, None) is not None else (1,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Any, ...]:
        assert stream == 77
        device = target if kind == Runtime.cudaMemcpyKind.cudaMemcpyHostToDevice else source
        if device not in self.blocks or ctypes.sizeof(self.blocks[device]) < size:
            return (1,)
        ctypes.memmove(target, source, size)
        self.queued += 1
        return (0,)

    def cudaGetErrorString(self, error: int) -> tuple[Any, ...]:
        return (0, _WORDS[error])

    def cudaGetDeviceProperties(self, number: int) -> tuple[Any, ...]:
        assert number == 0
        return (0, types.SimpleNamespace(name=b"Handmade", major=9, minor=0))


class Trt:
    """The part of TensorRT's module that running needs."""

    class TensorIOMode(enum.Enum):
        INPUT = 1
        OUTPUT = 2

    @staticmethod
    def nptype(kind: Any) -> Any:
        return kind


class Engine:
    """One input x, one output y of three columns, and a batch that is open."""

    num_io_tensors = 2
    num_layers = 1

    def __init__(self, runtime: Runtime, *, kind: Any = np.float32) -> None:
        self.runtime, self.kind = runtime, kind

    def get_tensor_name(self, number: int) -> str:
        return "yx"[number]

    def get_tensor_mode(self, name: str) -> Trt.TensorIOMode:
        return Trt.TensorIOMode.INPUT if name == "x" else Trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self.kind if name == "x" else np.float32

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    """Runs the engine on what lies at the addresses that it was given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shape: tuple[int, ...] = (-1, 3)
        self.addresses: dict[str, int] = {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "x"
        if not (1 <= shape[0] <= 8 and shape[1:] == (3,)):
            return False
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, _name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        blocks = self.engine.runtime.blocks
        if set(self.addresses) != {"x", "y"} or not set(self.addresses.values()) <= set(blocks):
            return False
        count = int(np.prod(self.shape))
        x = np.frombuffer(blocks[self.addresses["x"]], dtype=self.engine.kind, count=count)
        y = np.frombuffer(blocks[self.addresses["y"]], dtype=np.float32, count=count)
        y[:] = 2 * x
        self.engine.runtime.queued += 1
        self.runs += 1
        return True
