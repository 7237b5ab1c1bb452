"""Chainer, which reads no ONNX: a chain of its own links with the weights of the ONNX file (`dense_chain.py`)."""
from __future__ import annotations

import importlib
from typing import Any, Dict, List

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported
from .blas_threads import loaded_openblas, threads_of
from .dense_chain import Chain, Kind, Layer, load

IDEEP = ("never", "auto")
NO_CACHE = "Chainer compiles nothing and keeps nothing"


class Adapter(BaseAdapter):
    """One `chainer.Sequential`, called without a graph for gradients."""

    def __init__(self) -> None:
        self._chainer: Any = importlib.import_module("chainer")

    def load(self, path: str, params: Params) -> None:
        """Rebuilds the network from links and functions."""
        if params.precision != "fp32":
            raise Unsupported(f"Chainer runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("Chainer runs on the CPU here; its GPU arrays are CuPy's")
        ideep = str(params.settings.get("use_ideep") or IDEEP[0])
        if ideep not in IDEEP:
            raise Unsupported(f"use_ideep is one of {', '.join(IDEEP)}, not {ideep!r}")
        if ideep != "never" and not self._chainer.backends.intel64.is_ideep_available():
            raise Unsupported("use_ideep asks for ideep4py, which is not here: its last wheels are for Python 3.7, "
                              "and Chainer would compute in numpy without a word")
        # Those of every thread; `no_backprop_mode` and `using_config` set the same for the calling thread alone.
        config = self._chainer.global_config
        config.train, config.enable_backprop, config.use_ideep = False, False, ideep
        config.type_check = bool(params.settings.get("type_check", True))
        self._params, self._chain = params, load(path)
        steps = [self._step(layer) for layer in self._chain.layers]
        self._network = self._chainer.Sequential(*(steps or [self._chainer.functions.identity]))
        self._result = ""

    def _step(self, layer: Layer) -> Any:
        functions, links = self._chainer.functions, self._chainer.links
        if layer.kind is Kind.DENSE:
            assert layer.weight is not None
            weight = np.ascontiguousarray(layer.weight.T)  # Chainer keeps (out, in)
            return links.Linear.from_params(weight, layer.bias, nobias=layer.bias is None)
        return {Kind.RELU: functions.relu, Kind.SIGMOID: functions.sigmoid, Kind.TANH: functions.tanh,
                Kind.SOFTMAX: functions.softmax, Kind.FLATTEN: _flatten}[layer.kind]

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """A whole batch, in numpy."""
        found = self._network(inputs[self._chain.input])
        array = np.asarray(getattr(found, "array", found))
        self._result = array.dtype.name
        return [array]

    def evidence(self) -> Evidence:
        """Chainer's products are numpy's, whose BLAS says how many threads it has."""
        libraries = loaded_openblas()
        config = self._chainer.config
        fallback = None if self._result in ("", "float32") else f"asked for fp32, the result is {self._result}"
        return Evidence(
            device="cpu", executed_on=["iDeep" if config.use_ideep != "never" else "numpy"], fallback=fallback,
            batching="native" if self._params.batchable else "fixed",
            detail={"threads": threads_of("numpy", libraries), "threads_asked": self._params.threads, "blas": libraries,
                    "layers": layer_counts(self._chain), "train": config.train, "enable_backprop": config.enable_backprop,
                    "type_check": config.type_check, "use_ideep": config.use_ideep,
                    "chainerx": bool(self._chainer.chainerx.is_available())},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """chainer and numpy."""
        return {"chainer": self._chainer.__version__, "numpy": np.__version__}


def layer_counts(chain: Chain) -> Dict[str, int]:
    """How many layers of each kind there are."""
    counts: Dict[str, int] = {}
    for layer in chain.layers:
        counts[layer.kind.value] = counts.get(layer.kind.value, 0) + 1
    return counts


def _flatten(value: Any) -> Any:
    return value.reshape((len(value), -1))


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → a chain of dense layers, in the converter's environment; serves every framework that reads no ONNX."""
    from .dense_convert import convert as run

    return run(path, out_dir, params)
