"""ONNX Runtime with the TensorRT execution provider, and the CUDA provider for what TensorRT does not take.

Not verified on hardware: only what happens without a GPU is.
"""
from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from .base import CacheUse, ConvertParams, Evidence, Params
from .onnxruntime_cuda import CUDA
from .onnxruntime_cuda import Adapter as CudaAdapter

TENSORRT = "TensorrtExecutionProvider"
ENGINES = (".engine", ".profile")


class Adapter(CudaAdapter):
    """Engines are built while the session is opened, or at the first inference of a shape that none was built for."""

    PRECISIONS = ("fp32", "tf32", "fp16", "int8")
    CHAIN = (TENSORRT, CUDA)
    LIBRARY = "libonnxruntime_providers_tensorrt.so"

    def load(self, path: str, params: Params) -> None:
        """TensorRT computes fp32 in TF32 unless the driver's own switch forbids it, which is read when CUDA starts."""
        if params.precision == "fp32":
            os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        self._keeps = params.keep_cache
        self._folder = str(params.cache_dir) if params.cache_dir else ""
        self._before = engines(self._folder)
        super().load(path, replace(params, keep_cache=False))  # the engine is what is worth keeping, not the graph

    def _providers(self) -> List[Any]:
        return [(TENSORRT, tensorrt_options(self._params, self._folder if self._keeps else "")), *super()._providers()]

    def evidence(self) -> Evidence:
        """And what became of the engines: a process that built one leaves a file that was not there, or not like that."""
        evidence = super().evidence()
        if not self._keeps:
            return evidence
        now = engines(self._folder)
        use = CacheUse(kind="engine", hit=evidence.fallback is None and bool(now) and now == self._before,
                       detail={"engines": len(now), "built": sum(self._before.get(name) != mark for name, mark in now.items())})
        return replace(evidence, cache=use)

    def _too_wide(self, widths: Mapping[str, Any]) -> None:
        """A profile shows an engine as one node: what it computes in stands in its options only."""


def tensorrt_options(params: Params, cache: str) -> Dict[str, str]:
    """The provider's options; `cache` is the folder that engines are kept in, empty for none."""
    settings = params.settings
    options = {
        "device_id": "0",
        "trt_fp16_enable": "1" if params.precision == "fp16" else "0",
        "trt_int8_enable": "1" if params.precision == "int8" else "0",
        "trt_builder_optimization_level": str(int(settings.get("builder_optimization_level", 3))),
        "trt_min_subgraph_size": str(int(settings.get("min_subgraph_size", 1))),
        "trt_layer_norm_fp32_fallback": "1" if settings.get("layer_norm_fp32_fallback", False) else "0",
        "trt_cuda_graph_enable": "1" if settings.get("cuda_graph", False) else "0",
    }
    if cache:
        options.update({"trt_engine_cache_enable": "1", "trt_engine_cache_path": cache,
                        "trt_timing_cache_enable": "1", "trt_timing_cache_path": cache})
    if params.batchable and params.batches and settings.get("optimisation_profile", True):
        options.update(profile_shapes(params.samples, params.input_order, params.batches))
    return options


def profile_shapes(samples: Mapping[str, np.ndarray], order: Sequence[str], batches: Sequence[int]) -> Dict[str, str]:
    """One engine for all batches of the trial, tuned for the largest; without, each new shape builds an engine anew."""
    def shapes(batch: int) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, (batch, *samples[name].shape[1:])))}" for name in order)

    return {"trt_profile_min_shapes": shapes(min(batches)), "trt_profile_opt_shapes": shapes(max(batches)),
            "trt_profile_max_shapes": shapes(max(batches))}


def engines(folder: str) -> Dict[str, Tuple[int, int]]:
    """Engine files in `folder`: name → (bytes, time of writing in ns)."""
    if not folder or not os.path.isdir(folder):
        return {}
    stats = {name: os.stat(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(ENGINES)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """int8 as TensorRT reads it: QDQ with every zero point at zero. (fp16 it makes itself, from the file as it is.)"""
    from .onnxruntime_convert import convert as run

    return run(path, out_dir, params, symmetric=True)
