"""MNN: runs what its own converter wrote (`mnn_convert.py`) in one session.

The session interface and not the newer modules: it says how many threads and which kernels it has.
"""
from __future__ import annotations

import importlib
import json
import os
import struct
from dataclasses import replace
from typing import Any, Dict, List, Tuple

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported

ARTIFACT_FORMATS = {".mnn": "mnn"}
WINOGRAD_MEMORY_LEVEL = 3  # Interpreter::HintMode
MEMORY_MB, MEGAFLOPS, BACKENDS, THREADS = 0, 1, 2, 4  # Interpreter::SessionInfoCode
KERNELS = {0: "CPU", 13: "CPU (vector extensions)"}  # MNNForwardType
NO_CACHE = "MNN's cache file is for GPUs: on a CPU nothing is kept between processes"
# What MNN has no tensors for is fed as the type that its converter makes of it.
FED_AS = {"float16": "float32", "float64": "float32", "int64": "int32", "bool": "int32", "int16": "int32", "uint16": "int32"}


class Adapter(BaseAdapter):
    """One interpreter and one session, which is resized where another shape comes."""

    def __init__(self) -> None:
        # Not at the top: the file is also read where only the conversion runs.
        self._mnn: Any = importlib.import_module("MNN")

    def load(self, path: str, params: Params) -> None:
        """`path` is `model.mnn`; `model.json` lies beside it."""
        if params.precision != "fp32":
            raise Unsupported(f"MNN runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("MNN runs on the CPU here")
        with open(os.path.splitext(path)[0] + ".json", encoding="utf-8") as file:
            self._about = json.load(file)
        self._level = int(params.settings.get("winograd_level", 3))
        self._params = params
        self._net = self._mnn.Interpreter(path)
        self._net.setSessionHint(WINOGRAD_MEMORY_LEVEL, self._level)
        # Any other word than these is taken too, and ignored.
        self._session = self._net.createSession({"backend": "CPU", "precision": "high", "numThread": params.threads})
        self._inputs = dict(self._net.getSessionInputAll(self._session))
        missing = [name for name in params.output_order if name not in self._net.getSessionOutputAll(self._session)]
        if missing:
            raise Unsupported(f"MNN's converter left out the output {missing[0]}")
        self._shapes: Dict[str, Tuple[int, ...]] = {}
        halide = {"float32": self._mnn.Halide_Type_Float, "int32": self._mnn.Halide_Type_Int,
                  "uint8": self._mnn.Halide_Type_Uint8, "int8": self._mnn.Halide_Type_Int}
        # An input that no output depends on is gone after the conversion.
        self._feeds = [(name, np.dtype(_fed_as(params.samples[name].dtype)))
                       for name in params.input_order if name in self._inputs]
        self._kinds = {name: halide[dtype.name] for name, dtype in self._feeds}
        self._fetches = [(name, np.dtype(_fed_as(np.dtype(self._about["outputs"][name]))), np.dtype(self._about["outputs"][name]))
                         for name in params.output_order]
        self._halide = halide

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Whole batches; a shape that differs from the last call's resizes the session, inside the timed region."""
        self._resize(inputs)
        caffe = self._mnn.Tensor_DimensionType_Caffe
        for name, dtype in self._feeds:
            array = np.ascontiguousarray(inputs[name], dtype)
            self._inputs[name].copyFrom(self._mnn.Tensor(array.shape, self._kinds[name], array, caffe))
        self._net.runSession(self._session)
        return [self._fetch(name, held, wanted) for name, held, wanted in self._fetches]

    def _resize(self, inputs: Feeds) -> None:
        shapes = {name: inputs[name].shape for name, _ in self._feeds}
        if shapes == self._shapes:
            return
        for name, shape in shapes.items():
            self._net.resizeTensor(self._inputs[name], shape)
        self._net.resizeSession(self._session)
        self._shapes = shapes

    def _fetch(self, name: str, held: Any, wanted: Any) -> np.ndarray:
        """As ONNX lays it out, whatever packed layout the session keeps it in."""
        tensor = self._net.getSessionOutput(self._session, name)
        shape = tuple(tensor.getShape())
        caffe = self._mnn.Tensor_DimensionType_Caffe
        host = self._mnn.Tensor(shape, self._halide[held.name], np.zeros(shape, held), caffe)
        tensor.copyToHostTensor(host)
        # The view ends with the tensor that it looks into.
        return np.array(host.getNumpyData(), dtype=wanted).reshape(shape)

    def evidence(self) -> Evidence:
        """What the session says of itself."""
        kernels, threads = self._integer(BACKENDS), self._integer(THREADS)
        fallback = None if kernels in KERNELS else f"MNN gave the session to its backend number {kernels}, which is no CPU"
        return Evidence(
            device="cpu" if kernels in KERNELS else "unknown", fallback=fallback,
            executed_on=[KERNELS.get(kernels, str(kernels))],
            detail={"threads": threads, "winograd_level": self._level, "converted_with": self._about["converted_with"],
                    "session_mb": round(self._info(MEMORY_MB), 3), "megaflops": round(self._info(MEGAFLOPS), 3)},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def final_evidence(self) -> Evidence:
        """And the kinds of operators that run, which takes an inference more."""
        kinds: Dict[str, int] = {}

        def before(tensors: Any, info: Any) -> bool:
            del tensors
            kinds[info.getType()] = kinds.get(info.getType(), 0) + 1
            return True

        self._net.runSessionWithCallBackInfo(self._session, before, lambda *_: True)
        evidence = self.evidence()
        return replace(evidence, detail={**evidence.detail, "operators": kinds})

    def versions(self) -> Dict[str, str]:
        """MNN and numpy."""
        return {"MNN": self._mnn.version(), "numpy": np.__version__}

    def _info(self, code: int) -> float:
        return float(self._net.getSessionInfo(self._session, code))

    def _integer(self, code: int) -> int:
        """The binding hands some integers over as the float that has their bits."""
        value = self._net.getSessionInfo(self._session, code)
        return value if isinstance(value, int) else int(struct.unpack("<i", struct.pack("<f", value))[0])


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → MNN, in the converter's environment."""
    from .mnn_convert import convert as run

    return run(path, out_dir, params)


def _fed_as(dtype: Any) -> str:
    return FED_AS.get(dtype.name, dtype.name)
