"""TensorRT: the ONNX file is built into an engine for the GPU at hand; engines and timings may be kept for the next process.

Not verified on hardware: its builder needs a GPU, and no machine with one was at hand. Building and running are the code that
TensorRT-RTX's adapter shares, whose building is tried.
"""
from __future__ import annotations

import hashlib
import importlib
import json
import os
from typing import Any, Dict, List, Optional

import numpy as np

from .base import CacheUse, Evidence, Feeds, Params, Unsupported
from .cuda_memory import Cuda
from .tensorrt_engine import DEVICE, EngineAdapter, Messages, Running, apply_precision, open_batch, parsed, refuse_device

TITLE = "TensorRT"
PRECISIONS = ("fp32", "tf32", "fp16", "int8")
# The wheel of the libraries' bindings holds the second name only; the first is a package around it.
MODULES = ("tensorrt", "tensorrt_bindings")
TIMINGS = "timings.cache"


class Adapter(EngineAdapter):
    """One engine for all batch sizes of the trial, tuned for the largest."""

    def __init__(self) -> None:
        self._trt = binding()

    def load(self, path: str, params: Params) -> None:
        """Reads the network. Raises Unsupported where there is no GPU to build for, with TensorRT's words."""
        refuse_device(params, TITLE)
        if params.precision not in PRECISIONS:
            raise Unsupported(f"{TITLE} has no {params.precision} here")
        self._params, self._path, self._messages = params, path, Messages(self._trt)
        try:
            self._builder = self._trt.Builder(self._messages.logger)
        except TypeError:  # how its bindings say that the constructor gave them nothing
            raise Unsupported(f"{TITLE} cannot start here: {self._messages.first('no reason given')}") from None
        self._network, self._parser = parsed(self._trt, self._builder, path, self._messages, TITLE)
        self._config = self._builder.create_builder_config()
        apply_precision(self._trt, self._config, self._network, params.precision)
        self._config.builder_optimization_level = int(params.settings.get("builder_optimization_level", 3))
        room = params.settings.get("workspace_mb")
        if room is not None:
            self._config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, int(room) << 20)
        batches = params.batches or (1,)
        open_batch(self._builder, self._network, self._config, min(batches), max(batches))

    def compile(self, example: Feeds) -> bool:
        """Takes the engine that an earlier process left, else builds it: minutes, for kernels are tried on the GPU."""
        del example
        cuda = Cuda()
        self._runtime = self._trt.Runtime(self._messages.logger)  # an engine lives no longer than its runtime
        self._kept = self._place_of(cuda.device())
        plan, self._hit = _read(self._kept), True
        self._engine = self._runtime.deserialize_cuda_engine(plan) if plan else None
        if self._engine is None:  # none was kept, or by another version
            self._hit = False
            self._engine = self._runtime.deserialize_cuda_engine(self._built())
        self._parser = self._network = None
        if self._engine is None:
            raise Unsupported(f"{TITLE} cannot load the engine that it built: {self._messages.first('no reason given')}")
        self._running = Running(self._trt, self._engine, cuda, self._params.output_order, self._messages)
        return True

    def evidence(self) -> Evidence:
        """An engine runs on a GPU or not at all; which one, as the CUDA runtime names it."""
        use = None
        if self._params.keep_cache:
            use = CacheUse(kind="engine", hit=self._hit, detail={"file": os.path.basename(self._kept or "")})
        return Evidence(
            device=DEVICE, executed_on=[TITLE], cache=use,
            detail={"gpu": self._running.cuda.device(), "types": self._running.types(), "layers": self._engine.num_layers})

    def versions(self) -> Dict[str, str]:
        """Under the names of the distributions that hold it."""
        version = str(self._trt.__version__)
        return {"tensorrt": version, "tensorrt-cu13-libs": version, "numpy": np.__version__}

    def _built(self) -> bytes:
        timings = os.path.join(os.path.dirname(self._kept), TIMINGS) if self._kept else None
        cache = self._config.create_timing_cache(_read(timings) or b"")
        self._config.set_timing_cache(cache, ignore_mismatch=False)
        plan = self._builder.build_serialized_network(self._network, self._config)
        if plan is None:
            raise Unsupported(f"{TITLE} built no engine: {self._messages.first('no reason given')}")
        _write(timings, bytes(self._config.get_timing_cache().serialize()))
        _write(self._kept, bytes(plan))
        return bytes(plan)

    def _place_of(self, gpu: str) -> Optional[str]:
        """Where the engine is kept, named by all that it depends on; None where nothing is to be kept."""
        params = self._params
        if not params.keep_cache or not params.cache_dir:
            return None
        return os.path.join(params.cache_dir, engine_name(self._path, params, version=str(self._trt.__version__), gpu=gpu))


def binding() -> Any:
    """TensorRT's Python module, by whichever of its names it is installed. Raises ImportError."""
    for name in MODULES[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # it is there, and misses something of its own
                raise
    return importlib.import_module(MODULES[-1])


def engine_name(path: str, params: Params, *, version: str, gpu: str) -> str:
    """The file's name of an engine: model, TensorRT, GPU, precision, batches and settings are in it as a digest."""
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            hasher.update(block)
    made_of: List[Any] = [hasher.hexdigest(), version, gpu, params.precision, list(params.batches), dict(params.settings)]
    return f"engine-{hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]}.plan"


def _read(path: Optional[str]) -> Optional[bytes]:
    if path is None or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def _write(path: Optional[str], content: bytes) -> None:
    """Whole or not at all: a process may be killed while it writes."""
    if path is None:
        return
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)
