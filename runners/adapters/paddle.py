"""Paddle Inference: runs the program and weights that x2paddle wrote (`paddle_convert.py`), by oneDNN's kernels or its own."""
from __future__ import annotations

import collections
import ctypes
import importlib
import json
import os
import tempfile
from typing import Any, Dict, List, Optional

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported
from .busy_threads import busy_threads, thread_count

ARTIFACT_FORMATS = {".json": "paddle"}  # Paddle reads this kind of program under no other ending
ABOUT, WEIGHTS = "tensors.json", "model.pdiparams"
ONEDNN = "onednn_op"  # the dialect of the program's operators that oneDNN computes
DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op"}  # Paddle's short names in a saved program
NO_CACHE = "Paddle Inference keeps nothing between processes: it optimises the program anew each time"


def environment(params: Params) -> Dict[str, str]:
    """oneDNN's threads: in this wheel it has another OpenMP library (libgomp) than Paddle, whose own call sets only Paddle's."""
    return {"OMP_NUM_THREADS": str(params.threads)}


class Adapter(BaseAdapter):
    """One predictor; it takes any batch as it comes."""

    def __init__(self) -> None:
        self._paddle: Any = importlib.import_module("paddle")
        self._inference: Any = importlib.import_module("paddle.inference")

    def load(self, path: str, params: Params) -> None:
        """`path` is the program; weights and names lie beside it."""
        if params.precision != "fp32":
            raise Unsupported(f"Paddle Inference runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("paddlepaddle's wheel for the CPU has no other device")
        self._path, self._params = path, params
        self._before = thread_count()
        self._last: Optional[Feeds] = None
        with open(os.path.join(os.path.dirname(path), ABOUT), encoding="utf-8") as file:
            about = json.load(file)
        self._config = self._configured()
        self._predictor = self._inference.create_predictor(self._config)
        self._handles = {name: self._predictor.get_input_handle(about["inputs"][name]) for name in params.input_order
                         if about["inputs"][name] in self._predictor.get_input_names()}
        found = self._predictor.get_output_names()
        if len(found) != len(about["outputs"]):
            raise Unsupported(f"the program has {len(found)} outputs, the model {len(about['outputs'])}")
        pairs = [(name, about["outputs"][index]) for index, name in enumerate(found)]
        rows = {tensor["name"]: (name, np.dtype(tensor["dtype"])) for name, tensor in pairs}
        self._fetches = [(self._predictor.get_output_handle(rows[name][0]), rows[name][1]) for name in params.output_order]

    def _configured(self, save_to: Optional[str] = None) -> Any:
        settings = self._params.settings
        weights = os.path.join(os.path.dirname(self._path), WEIGHTS)
        config = self._inference.Config(self._path, weights if os.path.exists(weights) else "")
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(self._params.threads)
        if settings.get("onednn", True):
            config.enable_mkldnn()
            config.set_mkldnn_cache_capacity(int(settings.get("onednn_cache_capacity") or 0))
        else:
            config.disable_mkldnn()  # on by default since 3.0
        if not settings.get("inplace", True):
            config.delete_pass("inplace_pass")
        if save_to is not None:
            config.set_optim_cache_dir(save_to)
            config.enable_save_optim_model(bool(save_to))
        return config

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Inputs are copied in, outputs copied out; the types are ONNX's."""
        for name, handle in self._handles.items():
            handle.copy_from_cpu(inputs[name])
        self._predictor.run()
        self._last = inputs
        return [handle.copy_to_cpu().astype(dtype, copy=False) for handle, dtype in self._fetches]

    def evidence(self) -> Evidence:
        """The configuration as it holds it, and the threads that there are: of this process, and by oneDNN's OpenMP library."""
        return self._evidence({}, {})

    def final_evidence(self) -> Evidence:
        """Also which threads computed, and the optimised program, which a second predictor is made to write: whose operators."""
        last = self._last
        busy = {} if last is None else {"busy_threads": busy_threads(lambda: self.predict(last))}
        with tempfile.TemporaryDirectory() as folder:
            self._inference.create_predictor(self._configured(folder))
            return self._evidence(busy, _operators(folder))

    def _evidence(self, more: Dict[str, Any], operators: Dict[str, int]) -> Evidence:
        config, asked = self._config, bool(self._params.settings.get("onednn", True))
        of_onednn = {name: count for name, count in operators.items() if name.startswith(ONEDNN)}
        fallback = None
        if asked != bool(config.mkldnn_enabled()):
            fallback = f"oneDNN was {'asked for and is off' if asked else 'not asked for and is on'}"
        elif asked and operators and not of_onednn:
            fallback = "oneDNN was asked for, and no operator of the optimised program is oneDNN's"
        openmp = _openmp_threads()
        threads = max(1, len(more.get("busy_threads", ())))
        return Evidence(
            device="cpu", executed_on=["oneDNN" if config.mkldnn_enabled() else "Paddle CPU"], fallback=fallback,
            detail={"threads_asked": int(config.cpu_math_library_num_threads()), "onednn_openmp_threads": openmp,
                    "threads_started": thread_count() - self._before, **({"threads": threads, **more} if more else {}),
                    "inplace": bool(self._params.settings.get("inplace", True)), "onednn_operators": sum(of_onednn.values()),
                    "operators": dict(sorted(operators.items()))},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """paddlepaddle and numpy."""
        return {"paddlepaddle": self._paddle.__version__, "numpy": np.__version__}


def _operators(folder: str) -> Dict[str, int]:
    """Operators of the program that was written there, counted by dialect and name; empty where none was."""
    counts: "collections.Counter[str]" = collections.Counter()
    for name in os.listdir(folder):
        if name.endswith(".json"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                _count(json.load(file)["program"], counts)
    return dict(counts)


def _count(owner: Any, counts: "collections.Counter[str]") -> None:
    for region in owner.get("regions", []):
        for block in region["blocks"]:
            for operator in block["ops"]:
                dialect, _, name = operator["#"].partition(".")
                if name:  # weights have none
                    counts[f"{DIALECTS.get(dialect, dialect)}.{name}"] += 1
                _count(operator, counts)


def _openmp_threads() -> Optional[int]:
    """Asked of libgomp, which oneDNN computes with. Paddle's own (libiomp5) always says 1: it is set for a run and back after."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if "/" in line}
    for path in sorted(paths):
        if os.path.basename(path).startswith("libgomp"):
            return int(ctypes.CDLL(path).omp_get_max_threads())
    return None


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → Paddle, in the converter's environment."""
    from .paddle_convert import convert as run

    return run(path, out_dir, params)
