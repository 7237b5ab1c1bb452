"""OpenVINO: reads the model's own ONNX file."""
from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, List, Optional

import numpy as np
import openvino

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported

DEVICES = {"cpu": "CPU"}
ARTIFACT_FORMATS = {".xml": "openvino_ir"}
# What the plugin is told to compute floating-point numbers in; int8 is in the model itself.
WIDTHS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
CAPABILITIES = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT", "none": None}


class Adapter(BaseAdapter):
    """One compiled model and one request that is used again for every inference."""

    def load(self, path: str, params: Params) -> None:
        """Reads the file; compiling is a step of its own."""
        if params.precision not in WIDTHS:
            raise Unsupported(f"OpenVINO has no {params.precision} here")
        if params.device not in DEVICES:
            raise Unsupported(f"OpenVINO has no plugin for {params.device} here")
        self._device = DEVICES[params.device]
        self._params = params
        self._core = openvino.Core()
        self._refuse_unless_capable()
        self._model: Any = path
        if params.keep_cache:
            return  # a compiled model from the cache needs no reading of the file; compile_model() reads it if it must
        try:
            self._model = self._core.read_model(path)
        except Exception as error:
            raise _explained(error) from error

    def compile(self, example: Feeds) -> bool:
        """`compile_model`, with the input types that the model declares."""
        del example
        params = self._params
        self._by_rows: Dict[int, Any] = {}
        static = bool(params.settings.get("static_shapes", False))
        try:
            if static:
                for rows in params.batches if params.batchable else (None,):
                    self._fix_shapes(rows)
                    self._compile()
                    self._by_rows[rows or 0] = self._infer
            else:
                self._compile()
        except Exception as error:
            raise _explained(error) from error
        self._first = params.input_order[0] if params.input_order else ""
        if static and params.batchable:
            self._infer = self._infer_by_rows
        kept = {name for tensor in self._compiled.inputs for name in tensor.get_names()}
        self._dropped = set(params.input_order) - kept  # inputs on which nothing depends: the model has them no more
        outputs = list(self._compiled.outputs)
        self._indices = [outputs.index(self._compiled.output(name)) for name in params.output_order]
        return True

    def _compile(self) -> None:
        self._compiled = self._core.compile_model(self._model, self._device, self._config())
        self._infer = self._compiled.create_infer_request().infer

    def _fix_shapes(self, rows: Optional[int]) -> None:
        """Every dimension as the samples have it, so that nothing is left to be found out while it runs."""
        if isinstance(self._model, str):
            self._model = self._core.read_model(self._model)
        names = {name: tensor for tensor in self._model.inputs for name in tensor.get_names()}
        samples = self._params.samples
        self._model.reshape({names[name]: [*([] if rows is None else [rows]), *samples[name].shape[1:]]
                             for name in self._params.input_order})

    def _infer_by_rows(self, inputs: Feeds, **how: Any) -> Any:
        """The request that was made for so many rows."""
        return self._by_rows[len(inputs[self._first])](inputs, **how)

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Inputs are shared with the request; outputs are copied, so that the caller owns them as with every backend."""
        if self._dropped:
            inputs = {name: array for name, array in inputs.items() if name not in self._dropped}
        results = self._infer(inputs, share_inputs=True, share_outputs=False).to_tuple()
        return [results[index] for index in self._indices]

    def evidence(self) -> Evidence:
        """What the plugin says of the compiled model, asked after it ran."""
        ask = self._compiled.get_property
        executed = [str(device) for device in ask("EXECUTION_DEVICES")]
        precision = str(ask("INFERENCE_PRECISION_HINT").get_type_name())
        wanted = self._params.precision
        executed_graph = self._compiled.get_runtime_model()
        layers = executed_in(executed_graph)
        fallback = None
        if executed != [self._device]:
            fallback = f"asked for {self._device}, executed on {', '.join(executed)}"
        elif precision != WIDTHS[wanted]:
            fallback = f"asked for {wanted}, the plugin computes in {precision}"
        elif (given := self._watched(layers)) and not given.intersection(KINDS[wanted]):
            fallback = f"asked for {wanted}, but every layer that computes was given {', '.join(sorted(given))}"
        return Evidence(
            device=executed[0].lower() if executed else "unknown", executed_on=executed, fallback=fallback,
            detail={"inference_precision": precision, "layers_by_precision": layers,
                    "reference_operators": reference_operators(executed_graph),
                    "threads": int(ask("INFERENCE_NUM_THREADS")),
                    "streams": int(ask("NUM_STREAMS")), "pinning": bool(ask("ENABLE_CPU_PINNING")),
                    "performance_hint": str(ask("PERFORMANCE_HINT")),
                    "hyper_threading": bool(ask("ENABLE_HYPER_THREADING")),
                    "cpu_denormals_optimization": bool(ask("CPU_DENORMALS_OPTIMIZATION")),
                    "dynamic_inputs": any(tensor.partial_shape.is_dynamic for tensor in self._compiled.inputs)},
            cache=CacheUse(kind="compiled model", hit=bool(ask("LOADED_FROM_CACHE"))) if self._params.keep_cache else None,
        )

    def _watched(self, layers: Dict[str, int]) -> FrozenSet[str]:
        """The types of layers that a precision changes; what the model has in bytes or in f16 itself is no fallback from fp32."""
        given = WIDE_OR_NARROW.intersection(layers)
        if self._params.precision != "fp32":
            return given
        tensors = (*self._compiled.inputs, *self._compiled.outputs)
        own = {str(tensor.get_element_type().get_type_name()) for tensor in tensors} - {"f32"}
        return given - BYTES - own

    def versions(self) -> Dict[str, str]:
        """openvino and numpy."""
        return {"openvino": openvino.__version__.split("-")[0], "numpy": np.__version__}

    def _refuse_unless_capable(self) -> None:
        """Asked for a width that the processor has not, the plugin would take another and say nothing."""
        wanted = CAPABILITIES.get(self._params.precision)
        offered = [str(name) for name in self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")]
        if wanted is not None and wanted not in offered:
            raise Unsupported(f"OpenVINO's {self._device} plugin has no {wanted} on this processor (it has "
                              f"{', '.join(name for name in offered if name in (*CAPABILITIES.values(), 'FP32'))})")

    def _config(self) -> Dict[str, Any]:
        settings = self._params.settings
        # Without the precision hint the CPU plugin computes in bf16 on processors that have it.
        config: Dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": WIDTHS[self._params.precision], "INFERENCE_NUM_THREADS": self._params.threads}
        hint = settings.get("performance_hint", "latency")
        if hint not in HINTS:
            raise Unsupported(f"performance_hint is one of {', '.join(HINTS)}, not {hint!r}")
        if HINTS[hint] is not None:
            config["PERFORMANCE_HINT"] = HINTS[hint]
        if settings.get("num_streams"):
            config["NUM_STREAMS"] = int(settings["num_streams"])
        if settings.get("enable_cpu_pinning") is not None:
            config["ENABLE_CPU_PINNING"] = bool(settings["enable_cpu_pinning"])
        if settings.get("enable_hyper_threading") is not None:
            config["ENABLE_HYPER_THREADING"] = bool(settings["enable_hyper_threading"])
        if settings.get("cpu_denormals_optimization"):
            config["CPU_DENORMALS_OPTIMIZATION"] = True
        if self._params.keep_cache:
            config["CACHE_DIR"] = str(self._params.cache_dir)
        return config


# Layers that move or convert numbers; what is left computes.
MOVES = frozenset(("Input", "Output", "Const", "Reorder", "Reshape", "Transpose", "Convert", "Concatenation", "Split",
                   "StridedSlice", "Gather", "Broadcast", "Tile", "MemoryInput", "MemoryOutput", "ShapeOf", "FakeQuantize"))
# Layers in other types (i32, boolean) compute what no precision changes: indices, shapes, conditions.
WIDE_OR_NARROW = frozenset(("f32", "bf16", "f16", "i8", "u8"))
BYTES = frozenset(("i8", "u8"))  # no fp32 layer becomes one of bytes by itself: they are in the model
KINDS = {"fp32": ("f32",), "bf16": ("bf16",), "fp16": ("f16",), "int8": ("i8", "u8")}


def executed_in(graph: Any) -> Dict[str, int]:
    """Precision → how many computing layers of the executed graph run in it; empty where the plugin does not say."""
    counts: Dict[str, int] = {}
    for layer in graph.get_ordered_ops():
        info = layer.get_rt_info()
        try:
            kind, precision = str(info["layerType"].value), str(info["runtimePrecision"].value)
        except (KeyError, AttributeError, RuntimeError):
            continue
        if kind not in MOVES:
            counts[precision] = counts.get(precision, 0) + 1
    return dict(sorted(counts.items()))


def reference_operators(graph: Any) -> List[str]:
    """The layers for which the plugin has no kernel and calls OpenVINO's reference implementation."""
    found = []
    for layer in graph.get_ordered_ops():
        try:
            if str(layer.get_rt_info()["layerType"].value) == "Reference":
                found.append(re.sub(r"_\d+$", "", str(layer.get_friendly_name())))  # a number of the process's own
        except (KeyError, AttributeError, RuntimeError):
            continue
    return found


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → IR in int8, in the converter's environment."""
    from .openvino_convert import convert as run

    return run(path, out_dir, params)


def _explained(error: Exception) -> Exception:
    """`Unsupported` where the message says that the model is beyond OpenVINO; else the error itself."""
    text = " ".join(str(error).split())
    missing = re.search(r"No conversion rule found for operations: (.+?)(?= --|$)", text)
    if missing:
        return Unsupported(f"OpenVINO has no operator {missing.group(1)[:200]}")
    signs = ("is not supported", "not implemented", "Not Implemented", "unsupported", "does not support")
    return Unsupported(text[-300:]) if any(sign in text for sign in signs) else error
