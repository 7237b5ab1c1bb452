"""ONNX Runtime with the CUDA execution provider. Not verified on hardware: only what happens without a GPU is.

Where the provider's libraries or the driver are missing, ONNX Runtime opens the session on its CPU provider and says so on
stderr only: the cell is a fallback, with the library that was missed. What stays on the CPU beside it is named too.
"""
from __future__ import annotations

import ctypes
import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import onnxruntime

from .base import Evidence, Feeds, Params, Unsupported
from .onnxruntime import TOO_LARGE, session_options
from .onnxruntime import Adapter as PlainAdapter
from .onnxruntime import convert as convert  # fp16 is made by the same tools; the runner looks for it here
from .onnxruntime_census import counted, providers_of

CUDA = "CUDAExecutionProvider"
DEVICE = "cuda"
# The session's own threads and arenas are about the CPU; of the plain backend's settings this one is left.
SHARED = ("graph_optimization_level",)
NOT_FOUND = "cannot open shared object file"
# Operators that compute a shape or an index: ONNX Runtime leaves them on the CPU on purpose, where copies would cost more.
SMALL = frozenset(("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max", "Floor", "Ceil", "Equal", "Less", "Greater",
                   "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceSum",
                   "CumSum", "NonZero", "ScatterND", "Size", "Compress", "Constant", "If", "Loop"))


class Adapter(PlainAdapter):
    """The same session with a GPU's provider in front."""

    PRECISIONS: Tuple[str, ...] = ("fp32", "tf32", "fp16")
    CHAIN: Tuple[str, ...] = (CUDA,)  # who may compute; the first is the one that must
    LIBRARY = "libonnxruntime_providers_cuda.so"
    PLACE = DEVICE  # where tensors stay that do not leave the device

    def _provider(self) -> str:
        if self._params.device.split(":")[0] != DEVICE:
            raise Unsupported(f"{self.CHAIN[0]} runs on {DEVICE}, not on {self._params.device}")
        return self.CHAIN[0]

    def _providers(self) -> List[Any]:
        return [(CUDA, cuda_options(self._params))]

    def _fresh_options(self) -> Any:
        given = self._params.settings
        return session_options(replace(self._params, settings={name: given[name] for name in SHARED if name in given}))

    def evidence(self) -> Evidence:
        """Which providers there are and, where this version says so, how many nodes each was given."""
        registered, nodes = self._session.get_providers(), self._assigned()
        fallback = None
        if self._wanted not in registered:
            fallback = f"{self._wanted} is not available{because(self.LIBRARY)}; the session runs on {', '.join(registered)}"
        elif nodes and self._wanted not in nodes:
            fallback = f"every node went to {', '.join(sorted(nodes))} and none to {self._wanted}"
        given = self._session.get_provider_options()
        return Evidence(
            device="cpu" if fallback else DEVICE, executed_on=sorted(nodes) or registered, fallback=fallback,
            detail={"registered": registered, "nodes": nodes, "host_threads": self._options.intra_op_num_threads,
                    "options": {name: dict(given[name]) for name in self.CHAIN if name in given}},
            cache=self._cache,
        )

    def final_evidence(self) -> Evidence:
        """And who executed which operators in how many bits, read from a profile of one inference in another session."""
        evidence = self.evidence()
        if evidence.fallback is not None:
            return evidence
        events = self._profiled()
        if events is None:
            return replace(evidence, detail={**evidence.detail, "operators": TOO_LARGE})
        found, widths = providers_of(events), counted(events)
        fallback = left_behind(found, self.CHAIN) or self._too_wide(widths)
        return replace(evidence, fallback=fallback, detail={**evidence.detail, "operators": found, "types": widths})

    def _too_wide(self, widths: Mapping[str, Any]) -> Optional[str]:
        if self._params.precision != "fp16" or "fp16" in widths:  # what TF32 is, no profile shows: the option is in `options`
            return None
        return f"asked for fp16, but every operator computed in {', '.join(sorted(widths)) or 'nothing'}"

    def to_device(self, inputs: Feeds) -> Any:
        """Inputs bound where they lie on the GPU, outputs where they will; None where the session runs on the CPU."""
        if self._wanted not in self._session.get_providers():
            return None
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, self.PLACE, 0))
        for name in self._names:
            binding.bind_output(name, self.PLACE, 0)
        return binding

    def predict_on_device(self, resident: Any) -> Any:
        """Synchronised on return: a session waits for its providers at the end of every run."""
        self._session.run_with_iobinding(resident)
        return resident.get_outputs()

    def versions(self) -> Dict[str, str]:
        """The distribution that holds the GPUs' providers, and numpy."""
        return {"onnxruntime-gpu": onnxruntime.__version__, "numpy": np.__version__}


def cuda_options(params: Params) -> Dict[str, str]:
    """The provider's options. TF32 is on by default there: fp32 would have 10 bits of mantissa in every product."""
    settings = params.settings
    return {
        "device_id": "0",  # a trial sees no GPU but its own
        "use_tf32": "1" if params.precision == "tf32" else "0",
        "cudnn_conv_algo_search": str(settings.get("cudnn_conv_algo_search", "EXHAUSTIVE")),
        "cudnn_conv_use_max_workspace": "1" if settings.get("cudnn_conv_use_max_workspace", True) else "0",
        "prefer_nhwc": "1" if settings.get("prefer_nhwc", False) else "0",
    }


def because(library: str) -> str:
    """What the loader misses for one of ONNX Runtime's own libraries, in its words; nothing where it finds all."""
    path = os.path.join(os.path.dirname(onnxruntime.__file__), "capi", library)
    try:
        ctypes.CDLL(path)
    except OSError as error:
        if NOT_FOUND in str(error):
            return f" ({str(error).split(':')[0]} was not found)"
    return ""


def left_behind(found: Mapping[str, Mapping[str, int]], wanted: Tuple[str, ...]) -> Optional[str]:
    """A sentence where an operator that computes ran on none of the `wanted` providers; `found` as `providers_of` has it.

    Arithmetic on shapes does not count: it stays on the CPU on purpose.
    """
    elsewhere = {operator: count for provider, operators in found.items() if provider not in wanted
                 for operator, count in operators.items() if operator not in SMALL}
    if not elsewhere:
        return None
    listed = ", ".join(f"{count} × {name}" for name, count in sorted(elsewhere.items(), key=lambda item: (-item[1], item[0]))[:5])
    return f"not all of it ran on the GPU: {listed} ran on {', '.join(sorted(set(found) - set(wanted)))}"
