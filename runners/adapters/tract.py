"""tract: reads the model's own ONNX file and compiles it for each batch size; one thread, whatever it is asked for."""
from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any, Dict, List, Optional

import numpy as np
import tract
from tract.transform import SetSymbols

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported

NO_CACHE = "tract keeps nothing between processes: it reads the file and packs the weights anew each time"
# As tract writes element types.
KINDS = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
         "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "bool"}
WIDTHS = {"F32": "fp32", "F16": "fp16", "F64": "fp64"}


class Adapter(BaseAdapter):
    """One runnable for each batch size, or one for all of them."""

    def load(self, path: str, params: Params) -> None:
        """Reads the file only to know that it can be read: each runnable takes a reading of its own."""
        if params.precision != "fp32":
            raise Unsupported(f"tract runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("tract runs on the CPU here")
        self._before = _threads()
        self._path, self._params = path, params
        self._static = bool(params.settings.get("static_batch", True)) or not params.batchable
        self._by_rows: Dict[Optional[int], Any] = {}
        self._feeds = list(params.input_order)
        model = self._read()
        names = [model.input_name(index) for index in range(model.input_count())]
        missing = [name for name in names if name not in params.samples]
        if missing:
            raise Unsupported(f"tract asks for an input that the model does not have: {missing[0]}")
        self._feeds = names
        if model.output_count() != len(params.output_order):
            raise Unsupported(f"tract finds {model.output_count()} outputs, the model has {len(params.output_order)}")

    def compile(self, example: Feeds) -> bool:
        """For every batch size that will be measured; another one that comes later is compiled when it comes."""
        del example
        for rows in self._params.batches if self._static and self._params.batchable else (None,):
            self._by_rows[rows] = self._runnable(rows)
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Arrays are copied in and out, as tract's tensors own their memory."""
        rows = len(inputs[self._feeds[0]]) if self._static and self._params.batchable else None
        runnable = self._by_rows.get(rows)
        if runnable is None:
            runnable = self._by_rows[rows] = self._runnable(rows)
        self._last = runnable
        return [tensor.to_numpy() for tensor in runnable.run([inputs[name] for name in self._feeds])]

    def evidence(self) -> Evidence:
        """tract has no threads of its own and no way to ask for some; what it started is counted all the same."""
        started = max(0, _threads() - self._before)
        return Evidence(
            device="cpu", executed_on=[f"tract {tract.runtime_for_name('default').name()}"],
            detail={"threads": 1 + started, "threads_asked": self._params.threads, "compiled": len(self._by_rows),
                    "static_batch": self._static},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def final_evidence(self) -> Evidence:
        """And what tract's own profile says: operators, and the types that their arithmetic is counted in.

        Without inputs: those it would run for five seconds to time the operators, which says nothing more about them.
        """
        evidence = self.evidence()
        profile = json.loads(self._last.profile_json(None))
        operators: Dict[str, int] = {}
        types: Dict[str, int] = {}
        for node in profile.get("nodes", ()):
            operators[node["op_name"]] = operators.get(node["op_name"], 0) + 1
            for width in {found for cost in node.get("cost", {}) for found in re.findall(r"FMA\((\w+)\)", cost)}:
                types[WIDTHS.get(width, width)] = types.get(WIDTHS.get(width, width), 0) + 1
        fallback = None
        if types and "fp32" not in types and "fp16" in types:
            fallback = f"asked for fp32, but every operator that multiplies does so in {', '.join(sorted(types))}"
        return replace(evidence, fallback=fallback, detail={**evidence.detail, "operators": operators, "arithmetic": types})

    def versions(self) -> Dict[str, str]:
        """tract and numpy."""
        return {"tract": tract.version(), "numpy": np.__version__}

    def _read(self) -> Any:
        try:
            return tract.onnx().load(self._path)
        except tract.TractError as error:
            raise _explained(error) from error

    def _runnable(self, rows: Optional[int]) -> Any:
        """`rows` None: whatever the file leaves open stays open, or is fixed where it has no name."""
        try:
            model = self._read()
            symbols = self._named(model, rows)
            typed = model.into_model()
            if symbols:
                typed.transform(SetSymbols(symbols))
            return typed.into_runnable()
        except tract.TractError as error:
            raise _explained(error) from error

    def _named(self, model: Any, rows: Optional[int]) -> Dict[str, int]:
        """Values of the dimensions that have a name; inputs with dimensions that have none are fixed on the spot.

        A name may stand in the shapes of results as well, which tract then refuses to be anything but that name: so it is
        given its value only afterwards, everywhere at once.
        """
        symbols: Dict[str, int] = {}
        for index, name in enumerate(self._feeds):
            sample = self._params.samples[name]
            shape = [*([] if not self._params.batchable else [rows or 1]), *sample.shape[1:]]
            written = [part.strip() for part in model.input_fact(index).dump().split(",")]
            dims = written[:-1]
            if len(dims) != len(shape) or any("?" in dim or dim == ".." for dim in dims):
                model.set_input_fact(index, ",".join([*map(str, shape), KINDS[sample.dtype.name]]))
                continue
            for axis, dim in enumerate(dims):
                if dim.lstrip("-").isdigit() or (rows is None and axis == 0 and self._params.batchable):
                    continue
                if not re.fullmatch(r"\w+", dim):
                    raise Unsupported(f"the file gives {name} a dimension that is no single name: {dim}")
                symbols[dim] = shape[axis]
        return symbols


def _threads() -> int:
    """Of this process, now."""
    return len(os.listdir("/proc/self/task"))


def _explained(error: Exception) -> Exception:
    """`Unsupported` where tract says that the model is beyond it; else the error itself. Its stack traces are left out."""
    lines = [line.strip() for line in str(error).split("Stack backtrace:")[0].splitlines()]
    text = " ".join(line for line in lines if line and line != "Caused by:")[:300]
    signs = ("unimplemented", "Unimplemented", "not implemented", "Not implemented", "Unsupported", "unsupported",
             "not supported", "No operator", "Undetermined symbol", "Failed analyse", "Translating", "in to_typed")
    return Unsupported(f"tract: {text}") if any(sign in text for sign in signs) else type(error)(text)
