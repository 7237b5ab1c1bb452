"""TensorRT's module made by hand, as far as its adapter builds, keeps and loads engines: no machine with a GPU was at hand.

An engine is text that names the library's version; one of another version is not taken, as the real library does it.
"""

from __future__ import annotations

import enum
import types
from pathlib import Path
from typing import Any

from tests.adapters.handmade_cuda import Engine, Runtime, Trt


class ILogger:
    ERROR, INTERNAL_ERROR = 1, 0

    def __init__(self) -> None:
        self.severity = 0


class Config:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.flags: set[str] = {"TF32"}
        self.profiles = 0
        self.timings = b""
        self.builder_optimization_level = 0
        self.pools: dict[str, int] = {}

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.pools[pool] = size

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = cache
        return True

    def get_timing_cache(self) -> Any:
        return types.SimpleNamespace(serialize=lambda: self.timings + b"timed;")

    def add_optimization_profile(self, _profile: Any) -> None:
        self.profiles += 1


class TensorRt:
    """The module; `builds` counts the engines that it built. `gpu`: without one, constructors give nothing."""

    ILogger = ILogger
    TensorIOMode = Trt.TensorIOMode
    nptype = staticmethod(Trt.nptype)
    BuilderFlag = enum.Enum("BuilderFlag", ["TF32", "FP16", "INT8"])
    NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", ["EXPLICIT_BATCH"])
    MemoryPoolType = types.SimpleNamespace(WORKSPACE="workspace")

    def __init__(self, runtime: Runtime, *, version: str = "10.0", gpu: bool = True) -> None:
        self.runtime, self.__version__, self.gpu = runtime, version, gpu
        self.builds = 0
        self.config: Config | None = None

    def Builder(self, logger: Any) -> Any:
        if not self.gpu:
            logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return types.SimpleNamespace(
            create_network=lambda _flags: types.SimpleNamespace(
                num_inputs=1, get_input=lambda _number: types.SimpleNamespace(name="x", shape=(-1, 3))),
            create_builder_config=self._config, build_serialized_network=self._build,
            create_optimization_profile=lambda: types.SimpleNamespace(set_shape=lambda *_: None))

    def _config(self) -> Config:
        self.config = Config()
        return self.config

    def _build(self, _network: Any, config: Config) -> bytes:
        self.builds += 1
        return f"{self.__version__} {sorted(config.flags)}".encode()

    def OnnxParser(self, _network: Any, _logger: Any) -> Any:
        return types.SimpleNamespace(parse_from_file=lambda path: Path(path).is_file(), num_errors=0)

    def Runtime(self, _logger: Any) -> Any:
        def load(plan: bytes) -> Engine | None:
            return Engine(self.runtime) if plan.startswith(self.__version__.encode() + b" ") else None

        return types.SimpleNamespace(deserialize_cuda_engine=load)
