"""tinygrad: its own importer reads the ONNX file; each batch size is captured once (TinyJit) and replayed as clang's kernels."""
from __future__ import annotations

import importlib
import os
from collections import Counter
from typing import Any, Dict, List, Optional

import numpy as np

from .base import Adapter as BaseAdapter
from .base import Evidence, Feeds, Params, Unsupported
from .busy_threads import busy_threads, thread_count
from .tinygrad_compiler import Clang, clang_command, open_read_only
from .tinygrad_graph import admit_foreign_domains, check_fixed, forget, graphs, lacking, tensors
from .tinygrad_kept import KeptGraphs

CACHE_FILE = "tinygrad.db"


def environment(params: Params) -> Dict[str, str]:
    """tinygrad reads its variables while it is imported.

    Its cache of compiled kernels is the user's own otherwise, and a trial would find there what an earlier one compiled.
    """
    kept = params.keep_cache and params.cache_dir is not None
    return {
        "DEV": "CPU", "NUM_CPU_THREADS": str(params.threads), "JIT": "1", "PARALLEL": "0",
        "BEAM": str(int(params.settings.get("beam") or 0)), "WINO": str(int(bool(params.settings.get("winograd")))),
        "CACHELEVEL": "2" if kept else "0", **({"CACHEDB": os.path.join(str(params.cache_dir), CACHE_FILE)} if kept else {}),
    }


class Adapter(BaseAdapter):
    """One reading of the file, and a captured graph per batch size over the same weights."""

    def __init__(self) -> None:
        self._tinygrad: Any = importlib.import_module("tinygrad")
        self._onnx: Any = importlib.import_module("tinygrad.nn.onnx")
        self._jit_error: Any = importlib.import_module("tinygrad.engine.jit").JitError
        self._clang = Clang(clang_command())
        importlib.import_module("tinygrad.runtime.support.compiler_cpu").subprocess = self._clang
        open_read_only(importlib.import_module("tinygrad.runtime.ops_disk").DiskDevice)
        admit_foreign_domains(self._onnx.Domain)

    def load(self, path: str, params: Params) -> None:
        """Reads the file and copies its weights to the device, or each inference would fetch them from the disk."""
        if params.precision != "fp32":
            raise Unsupported(f"tinygrad runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported(f"tinygrad runs on the CPU here, not on {params.device}")
        self._params = params
        self._before = thread_count()
        self._last: Optional[Feeds] = None
        try:
            self._runner = self._onnx.OnnxRunner(os.path.abspath(path))
        except (ValueError, KeyError, NotImplementedError) as error:  # types, attributes and domains that it has no name for
            raise Unsupported(f"tinygrad cannot read the file: {' '.join(str(error).split())[:300]}") from error
        missing = lacking(self._runner, list(self._onnx.Domain))
        if missing:
            raise Unsupported(f"tinygrad has no operator {', '.join(missing)}")
        check_fixed(self._runner, self._onnx.required_input_python_consts)
        self._names = list(self._runner.graph_inputs)
        if sorted(self._names) != sorted(params.input_order):
            raise Unsupported(f"tinygrad finds the inputs {self._names}, the model has {list(params.input_order)}")
        self._kept = KeptGraphs(path, params, self.versions())
        self._weights = tensors(self._runner, self._tinygrad.Tensor)
        if not params.keep_cache:  # a kept graph has its own
            self._realize()
        self._given = {id(graph): dict(graph.graph_values) for graph in graphs(self._runner)}
        self._captured: Dict[Any, Any] = {}
        self._types: Counter[str] = Counter()

    def _realize(self) -> None:
        if self._weights:
            self._tinygrad.Tensor.realize(*self._weights)
            self._weights = []

    def compile(self, example: Feeds) -> bool:
        """A graph for each batch size that will be measured, its kernels compiled, run twice: then it is replayed as it is."""
        for feeds in self._examples(example):
            shapes = _shapes(feeds)
            found = self._kept.take(shapes)
            if found is None:
                before = Counter(self._clang.types)
                graph = self._capture(feeds)
                found = graph, self._clang.types - before
                self._kept.leave(shapes, *found)
            self._captured[shapes] = found[0]
            self._types.update(found[1])
        return True

    def _capture(self, feeds: Feeds) -> Any:
        self._kept.number_buffers(_shapes(feeds))
        self._realize()
        jit = self._tinygrad.TinyJit(self._traced)
        forget(self._runner)
        try:
            for _ in range(2):  # the first only runs what it is given, the second captures it
                jit(*self._resident(feeds))
        except (NotImplementedError, self._jit_error) as error:
            raise Unsupported(f"tinygrad: {' '.join(str(error).split())[:300]}") from error
        return jit

    def _examples(self, example: Feeds) -> List[Feeds]:
        if not self._params.batchable:
            return [example]
        samples = self._params.samples
        return [{name: np.ascontiguousarray(np.resize(samples[name], (rows, *samples[name].shape[1:]))) for name in self._names}
                for rows in self._params.batches or (len(example[self._names[0]]),)]

    def _traced(self, *inputs: Any) -> List[Any]:
        found = self._runner({name: inputs[index] for index, name in enumerate(self._names)})
        results = [found[name] for name in self._params.output_order]
        for graph in graphs(self._runner):  # what lies between would be held, and its memory never be used twice
            graph.graph_values = dict(self._given[id(graph)])
        return results

    def _resident(self, inputs: Feeds) -> List[Any]:
        return [self._tinygrad.Tensor(inputs[name]).realize() for name in self._names]

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Inputs are copied to tinygrad's memory; kernels run one after the other on this thread."""
        jit = self._captured.get(_shapes(inputs))
        if jit is None:
            raise Unsupported(f"captured for other shapes than {_shapes(inputs)}")
        self._last = inputs
        return [tensor.numpy() for tensor in jit(*self._resident(inputs))]

    def evidence(self) -> Evidence:
        """Device and renderer as tinygrad has them, the compiler by its own word, the kernels that an inference runs."""
        return self._evidence({})

    def final_evidence(self) -> Evidence:
        """Also which threads computed, over some inferences more."""
        last = self._last
        if last is None:
            return self.evidence()
        busy = busy_threads(lambda: self.predict(last))
        return self._evidence({"threads": max(1, len(busy)), "busy_threads": busy})

    def _evidence(self, more: Dict[str, Any]) -> Evidence:
        device = self._tinygrad.Device[self._tinygrad.Device.DEFAULT]
        kernels = {"x".join(map(str, shapes[0])) if shapes else "": len(jit.captured.linear.src)
                   for shapes, jit in self._captured.items()}
        return Evidence(
            device=device.device.split(":")[0].lower(), executed_on=[f"tinygrad {type(device.renderer).__name__}"],
            batching="native" if self._params.batchable else "fixed", cache=self._kept.use(self._clang.compiled),
            detail={**more, "threads_asked": self._params.threads, "threads_started": thread_count() - self._before,
                    "compiler": self._clang.version(), "kernels_compiled": self._clang.compiled,
                    "kernel_types": dict(self._types), "kernels": kernels})

    def versions(self) -> Dict[str, str]:
        """tinygrad, the wheel that its compiler comes from, and numpy."""
        from importlib import metadata

        return {**{name: metadata.version(name) for name in ("tinygrad", "ziglang")}, "numpy": np.__version__}


def _shapes(feeds: Feeds) -> Any:
    return tuple(array.shape for _, array in sorted(feeds.items()))
