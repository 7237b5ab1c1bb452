"""JAX: jaxonnxruntime traces the ONNX file to a JAX function, which XLA compiles, once per batch size."""
from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import jax
import jaxonnxruntime
import numpy as np
import onnx
from jaxonnxruntime import call_onnx

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported
from .cpu_identity import cpu_identity
from .jax_lower import check_fixed, is_wide, lower
from .static_onnx import load_pinned, outputs_of, shapes_for

PRECISIONS = ("highest", "high", "default")
WORKER = "tf_XLAEigen"  # how XLA names the threads that compute (the kernel keeps 15 characters of a name)
EVENTS = "/jax/compilation_cache/"


class Compiled(NamedTuple):
    """One batch size's function, ready to be called."""

    call: Any  # (weights, inputs) -> outputs in the file's order
    fetches: List[Tuple[int, Any]]  # of each wanted output: its position among them, and the type that the file declares


class Adapter(BaseAdapter):
    """One function per batch size over one set of weights."""

    PLATFORM = "cpu"  # as JAX calls it; a row for another device has another

    def load(self, path: str, params: Params) -> None:
        """Sets JAX up and starts its threads; the model is traced in `compile`, for each batch size anew."""
        if params.precision != "fp32":
            raise Unsupported(f"JAX runs fp32 here, not {params.precision}")
        if params.device.split(":")[0] != self.PLATFORM:
            raise Unsupported(f"JAX runs on {self.PLATFORM} here, not on {params.device}")
        self._precision = str(params.settings.get("matmul_precision") or "highest")
        if self._precision not in PRECISIONS:
            raise Unsupported(f"matmul_precision is one of {', '.join(PRECISIONS)}, not {self._precision!r}")
        self._path, self._params = path, params
        self._jit = bool(params.settings.get("jit", True))
        self._by_rows: Dict[Optional[int], Compiled] = {}
        self._weights: Optional[Dict[str, Any]] = None
        self._wide = False
        self._types: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        os.environ["NPROC"] = str(params.threads)  # the size of XLA's pool of threads, read when the client is made
        jax.config.update("jax_platforms", self.PLATFORM)
        jax.config.update("jax_default_matmul_precision", self._precision)
        # What shapes give is fixed too, which the importer allows only so; `check_fixed` refuses what inputs' values give.
        jaxonnxruntime.config.update("jaxort_only_allow_initializers_as_static_args", val=False)
        self._set_cache()
        self._device = self._first_device()

    def _first_device(self) -> Any:
        return jax.devices()[0]

    def compile(self, example: Feeds) -> bool:
        """A function for each batch size that will be measured."""
        del example
        for rows in self._params.batches if self._params.batchable else (None,):
            self._by_rows[rows] = self._compiled(rows)
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """The function that was compiled for so many rows; waits for each output, which is the host's own memory."""
        compiled = self._for(inputs)
        results = compiled.call(self._weights, inputs)
        return [np.asarray(results[index]).astype(dtype, copy=False) for index, dtype in compiled.fetches]

    def _for(self, inputs: Any) -> Compiled:
        rows = len(inputs[self._params.input_order[0]]) if self._params.batchable else None
        compiled = self._by_rows.get(rows)
        if compiled is None:
            raise Unsupported(f"compiled for batches of {', '.join(str(one) for one in self._by_rows)}, not {rows}")
        return compiled

    def evidence(self) -> Evidence:
        """The threads that exist, counted in this process; the types of all results in the compiled programs."""
        threads, asked = _workers(), self._params.threads
        fallback = None if threads == asked else f"{asked} threads were asked for, XLA's pool has {threads}"
        detail = {"threads": threads, "thread_names": _names(), "jit": self._jit, "matmul_precision": self._precision,
                  "x64": self._wide, "compiled_batches": [rows or self._params.fixed_batch for rows in self._by_rows],
                  "result_types": dict(self._types)}
        return Evidence(device=self._device.platform, executed_on=[f"XLA {self._device.platform}"], fallback=fallback,
                        batching="native" if self._params.batchable else "fixed", detail=detail, cache=self._cache_use())

    def versions(self) -> Dict[str, str]:
        """jaxlib holds the compiler and the runtime."""
        import jaxlib

        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "jaxonnxruntime": jaxonnxruntime.__version__,
                "onnx": onnx.__version__, "numpy": np.__version__}

    def _compiled(self, rows: Optional[int]) -> Compiled:
        params = self._params
        names = list(params.input_order)
        declared = load_pinned(self._path, names, shapes_for(params.samples, names, rows))
        outputs = outputs_of(declared)
        model = lower(declared)
        check_fixed(model, names)
        if is_wide(model):  # never switched off: another model of this process may need it
            self._wide = True
            jax.config.update("jax_enable_x64", val=True)
        feeds = _feeds(params, rows)
        try:
            function, weights = call_onnx.call_onnx_model(model, feeds)
        except Exception as error:  # the importer's refusals have no type of their own
            raise Unsupported(_explained(error)) from error
        if self._weights is None:
            self._weights = self._held(weights)
        if self._jit:
            function = jax.jit(function).lower(self._weights, feeds).compile()
            self._types.update(re.findall(r" = \(?([a-z]+\d+)\[", function.as_text()))
        order = {tensor.name: index for index, tensor in enumerate(outputs)}
        wanted = [order[name] for name in params.output_order]
        return Compiled(call=function, fetches=[(index, np.dtype(outputs[index].dtype)) for index in wanted])

    def _held(self, weights: Any) -> Any:
        """The weights where every call finds them; on the CPU that is where they are."""
        return weights

    def _set_cache(self) -> None:
        keep = self._params.keep_cache and self._params.cache_dir
        jax.config.update("jax_enable_compilation_cache", bool(keep))
        if not keep:
            return
        # Machine code: a folder for each kind of processor.
        jax.config.update("jax_compilation_cache_dir", os.path.join(str(self._params.cache_dir), f"jax-{cpu_identity()}"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        jax.monitoring.register_event_listener(self._heard)

    def _heard(self, event: str, **_: Any) -> None:
        if event.startswith(EVENTS):
            self._events[event[len(EVENTS):]] += 1

    def _cache_use(self) -> Optional[CacheUse]:
        if not self._params.keep_cache:
            return None
        hits, misses = self._events["cache_hits"], self._events["cache_misses"]
        return CacheUse(kind="XLA executables", hit=hits > 0 and misses == 0, detail=dict(self._events),
                        note="tracing is done anew; what XLA compiled, for it and for the whole, is kept")


def _feeds(params: Params, rows: Optional[int]) -> Feeds:
    """Inputs to trace with: rows of the samples, from the first again where there are too few; or the first sample."""
    if rows is None:
        return {name: np.ascontiguousarray(params.samples[name][0]) for name in params.input_order}
    return {name: np.take(params.samples[name], range(rows), axis=0, mode="wrap") for name in params.input_order}


def _explained(error: Exception) -> str:
    """One sentence, with the operator whose translation failed: the file that it stands in is named after it."""
    where, trace = None, error.__traceback__
    while trace is not None:
        folder, file = os.path.split(trace.tb_frame.f_code.co_filename)
        if os.path.basename(folder) == "onnx_ops":
            where = file[:-len(".py")]
        trace = trace.tb_next
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    at = f" at its operator {where}" if where else ""
    return f"jaxonnxruntime cannot trace the model{at}: {said}"


def _names() -> Dict[str, int]:
    """This process's threads by name, as the kernel has them."""
    found: Counter[str] = Counter()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
                found[file.read().strip()] += 1
        except OSError:  # it ended meanwhile
            continue
    return dict(found)


def _workers() -> int:
    return sum(number for name, number in _names().items() if name.startswith(WORKER))
