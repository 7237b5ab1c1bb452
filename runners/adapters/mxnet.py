"""Apache MXNet: runs the symbol and weights that its importer made (`mxnet_convert.py`), bound once per batch size."""
from __future__ import annotations

import ctypes
import importlib
import json
import os
from typing import Any, Dict, List

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported

ARTIFACT_FORMATS = {".mxnet": "mxnet"}
SUBGRAPHS = ("none", "MKLDNN")
NO_CACHE = "MXNet keeps nothing between processes"


class Adapter(BaseAdapter):
    """One symbol, and an executor per batch size: MXNet binds shapes, not ranks."""

    def __init__(self) -> None:
        # Its OpenMP threads are as many as the environment says while it is imported; the runner has said it by then.
        self._mx: Any = importlib.import_module("mxnet")

    def load(self, path: str, params: Params) -> None:
        """`path` is the symbol's file; weights and names lie beside it."""
        if params.precision != "fp32":
            raise Unsupported(f"MXNet runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("MXNet's wheel for the CPU has no other device")
        self._subgraph = _one_of(params, "subgraph", SUBGRAPHS)
        # One operator at a time, with all threads in it; no fusing but what is asked for; no report of it.
        os.environ.update(MXNET_CPU_WORKER_NTHREADS="1", MXNET_SUBGRAPH_BACKEND="NONE", MXNET_SUBGRAPH_VERBOSE="0")
        mxnet = self._mx
        folder = os.path.dirname(path)
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            about = json.load(file)
        symbol = mxnet.sym.load(path)
        weights = mxnet.nd.load(os.path.join(folder, "model.params")) or {}  # of a model without weights it is an empty list
        arguments = {name[4:]: value for name, value in weights.items() if name.startswith("arg:")}
        auxiliary = {name[4:]: value for name, value in weights.items() if name.startswith("aux:")}
        self._before = _operators(symbol)
        if self._subgraph != "none":
            # Given the weights too, it infers shapes without knowing the input's, and fuses nothing.
            symbol = symbol.optimize_for(self._subgraph)
        self._operators = _operators(symbol)
        self._symbol, self._arguments, self._auxiliary = symbol, arguments, auxiliary
        order = [tensor["name"] for tensor in about["outputs"]]
        self._fetches = [order.index(name) for name in params.output_order]
        self._bound: Dict[Any, Any] = {}
        self._params = params

    def compile(self, example: Feeds) -> bool:
        """Bind: memory is planned and kernels are chosen for the shapes of the smallest batch."""
        self._executor(example)
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """`asnumpy` waits for the engine."""
        executor = self._executor(inputs)
        executor.forward(is_train=False, **{name: self._mx.nd.array(array) for name, array in inputs.items()})
        found = executor.outputs
        return [found[index].asnumpy() for index in self._fetches]

    def _executor(self, inputs: Feeds) -> Any:
        key = tuple(array.shape for array in inputs.values())
        if key not in self._bound:
            executor = self._symbol.simple_bind(self._mx.cpu(), grad_req="null", **{n: a.shape for n, a in inputs.items()})
            executor.copy_params_from(self._arguments, self._auxiliary, allow_extra_params=True)
            self._bound[key] = executor
        return self._bound[key]

    def evidence(self) -> Evidence:
        """The engine's threads by OpenMP's own word, oneDNN as it was built in, and the operators that were fused."""
        features = self._mx.runtime.Features()
        fused = {name: count for name, count in self._operators.items() if name.startswith("_sg_")}
        fallback = None
        if self._subgraph != "none" and self._operators == self._before:
            fallback = f"subgraph {self._subgraph} was asked for and changed nothing in this graph"
        return Evidence(
            device="cpu", executed_on=["oneDNN" if features.is_enabled("MKLDNN") else "MXNet CPU"], fallback=fallback,
            detail={"threads": _openmp_threads(), "operators": sum(self._operators.values()), "fused": fused,
                    "subgraph": self._subgraph,
                    "blas": [name for name in ("BLAS_OPEN", "BLAS_MKL", "BLAS_ATLAS") if features.is_enabled(name)]},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """mxnet and numpy."""
        return {"mxnet": self._mx.__version__, "numpy": np.__version__}


def _operators(symbol: Any) -> Dict[str, int]:
    counts: Dict[str, int] = {}
    for node in json.loads(symbol.tojson())["nodes"]:
        if node["op"] != "null":
            counts[node["op"]] = counts.get(node["op"], 0) + 1
    return counts


def _openmp_threads() -> int:
    """Asked of the OpenMP library that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.split(None, 5)[5].strip() if line.count("/") else ""
            if "omp" in os.path.basename(path) and ".so" in path:
                return int(ctypes.CDLL(path).omp_get_max_threads())
    return 0


def _one_of(params: Params, name: str, known: Any) -> str:
    value = str(params.settings.get(name) or known[0])
    if value not in known:
        raise Unsupported(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → MXNet, in the converter's environment."""
    from .mxnet_convert import convert as run

    return run(path, out_dir, params)
