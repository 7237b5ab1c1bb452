"""Memory of a CUDA device and one stream on it, through NVIDIA's own `cuda-bindings`, which imports without a driver.

Not verified on hardware: no machine with a GPU was at hand.
"""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Tuple

import numpy as np

SUCCESS = 0
OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class CudaError(RuntimeError):
    """A call of the CUDA runtime's failed; the message has its name and CUDA's own words."""


class Cuda:
    """One stream of the first device that this process sees: a trial sees no GPU but its own."""

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self._runtime = runtime
        self.stream = self.call(runtime.cudaStreamCreate)

    @property
    def handle(self) -> int:
        """The stream as other libraries take it."""
        return int(self.stream)

    def call(self, function: Callable[..., Tuple[Any, ...]], *arguments: Any) -> Any:
        """What the function returns behind its error code.

        Raises:
            MemoryError: the device has no room for it.
            CudaError: anything else that is no success.
        """
        error, *found = function(*arguments)
        if int(error) == SUCCESS:
            return found[0] if len(found) == 1 else tuple(found)
        words = self._runtime.cudaGetErrorString(error)[1]
        said = f"{function.__name__}: {words.decode() if isinstance(words, bytes) else words}"
        raise MemoryError(f"on the GPU: {said}") if int(error) == OUT_OF_MEMORY else CudaError(said)

    def buffer(self, size: int) -> Buffer:
        """Memory of the device, given back when nobody holds it any more; 0 bytes are one, for an address is wanted."""
        return Buffer(self, self.call(self._runtime.cudaMalloc, max(1, size)))

    def free(self, address: int) -> None:
        """Give memory back."""
        self.call(self._runtime.cudaFree, address)

    def upload(self, array: np.ndarray, address: int) -> None:
        """Copy a C-contiguous array to the device, in the order of the stream."""
        self._copy(address, array.ctypes.data, array.nbytes, self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy from the device into a C-contiguous array, which is filled once the stream is through."""
        self._copy(array.ctypes.data, address, array.nbytes, self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def synchronize(self) -> None:
        """Wait until the stream is through."""
        self.call(self._runtime.cudaStreamSynchronize, self.stream)

    def device(self) -> str:
        """Name and compute capability of the device, as the runtime tells them."""
        about = self.call(self._runtime.cudaGetDeviceProperties, 0)
        name = about.name.decode() if isinstance(about.name, bytes) else str(about.name)
        return f"{name} (SM{about.major}{about.minor})"

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        self.call(self._runtime.cudaMemcpyAsync, target, source, size, kind, self.stream)


class Buffer:
    """An address on the device that is freed with this object."""

    def __init__(self, cuda: Cuda, address: Any) -> None:
        self._cuda, self.address = cuda, int(address)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the process may be ending, and the driver gone before us
            self._cuda.free(self.address)
