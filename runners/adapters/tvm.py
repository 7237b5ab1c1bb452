"""Apache TVM: compiles the ONNX file to machine code for this processor, one library per batch size, and runs it. Not tuned.

Compiled on the machine that measures, in every trial (or taken from the kept cache): code for another processor is never run.
"""
from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from .base import Adapter as BaseAdapter
from .base import Evidence, Feeds, Params, Unsupported
from .busy_threads import busy_threads
from .child_compiler import ChildCompiler, PerBatch
from .tvm_compile import MODULE

SCHEDULES = ("none", "rules")


class Compiled(NamedTuple):
    """One batch size's library, ready to be called."""

    call: Any
    fetches: List[Tuple[int, Any]]  # position among the function's results, numpy type
    order: List[str]  # the function's parameters


def environment(params: Params) -> Dict[str, str]:
    """Its pool is as large as this says when it first runs; bound to CPUs by itself, it would not ask for the trial's."""
    return {"TVM_NUM_THREADS": str(params.threads), "TVM_BIND_THREADS": "0"}


class Adapter(BaseAdapter):
    """A virtual machine per batch size."""

    def __init__(self) -> None:
        self._tvm: Any = importlib.import_module("tvm")
        self._relax: Any = importlib.import_module("tvm.relax")

    def load(self, path: str, params: Params) -> None:
        """The model is read by the compiler, in `compile`."""
        if params.precision != "fp32":
            raise Unsupported("TVM runs fp32 here, not {}".format(params.precision))
        if params.device != "cpu":
            raise Unsupported("TVM runs on the CPU here, not on {}".format(params.device))
        schedules = str(params.settings.get("schedules") or "none")
        if schedules not in SCHEDULES:
            raise Unsupported("schedules is one of {}, not {!r}".format(", ".join(SCHEDULES), schedules))
        self._params, self._schedules = params, schedules
        self._compiled = PerBatch(params)
        self._compiler = ChildCompiler("tvm_compile", path, params, {"schedules": schedules}, self.versions())
        self._last: Feeds = {}

    def compile(self, example: Feeds) -> bool:
        """A library for each batch size that will be measured."""
        del example
        self._compiled.fill(lambda rows: self._load(*self._compiler.folder(rows)))
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """The library that was compiled for so many rows; inputs are copied in and outputs out."""
        compiled: Compiled = self._compiled.of(inputs)
        self._last = inputs
        tensor = self._tvm.runtime.tensor
        results = compiled.call(*[tensor(inputs[name]) for name in compiled.order])
        if hasattr(results, "numpy") or isinstance(results, self._tvm.runtime.ShapeTuple):
            results = [results]
        return [_array(results[index]).astype(dtype, copy=False) for index, dtype in compiled.fetches]

    def evidence(self) -> Evidence:
        """What was compiled how; who computes is found out at the end."""
        return self._evidence({})

    def final_evidence(self) -> Evidence:
        """With the threads that compute, counted by the kernel."""
        last = {name: np.array(value) for name, value in self._last.items()}
        busy = busy_threads(lambda: self.predict(last))
        return self._evidence({"threads": max(1, len(busy)), "busy_threads": busy})

    def _evidence(self, more: Dict[str, Any]) -> Evidence:
        first = self._about
        detail = {"schedules": self._schedules, "functions": first["functions"], "scheduled": first["scheduled"],
                  "processor": first["processor"], "pool": self._tvm.runtime.num_threads(), "tuned": False,
                  "compiled_batches": self._compiled.sizes, **more}
        return Evidence(device="cpu", executed_on=["TVM llvm, not tuned"], detail=detail, cache=self._compiler.cache_use(),
                        batching="native" if self._params.batchable else "fixed")

    def versions(self) -> Dict[str, str]:
        """apache-tvm, onnx and numpy."""
        from importlib import metadata

        return {**{name: metadata.version(name) for name in ("apache-tvm", "onnx")}, "numpy": np.__version__}

    def _load(self, folder: str, about: Dict[str, Any]) -> Compiled:
        library = self._tvm.runtime.load_module(os.path.join(folder, MODULE))
        machine = self._relax.VirtualMachine(library, self._tvm.cpu())
        rows = {tensor["name"]: (index, np.dtype(tensor["dtype"])) for index, tensor in enumerate(about["outputs"])}
        self._about = about
        return Compiled(machine["main"], [rows[name] for name in self._params.output_order], about["inputs"])


def _array(value: Any) -> np.ndarray:
    """A tensor's, or those of a shape, which TVM has as numbers of its own."""
    return value.numpy() if hasattr(value, "numpy") else np.array([int(size) for size in value], np.int64)
