"""OpenVINO: reads the model's own ONNX file."""
from __future__ import annotations

from typing import Any, Dict, List

import numpy as np
import openvino

from .base import Adapter as BaseAdapter
from .base import Evidence, Feeds, Params, Unsupported

DEVICES = {"cpu": "CPU"}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT", "none": None}


class Adapter(BaseAdapter):
    """One compiled model and one request that is used again for every inference."""

    def load(self, path: str, params: Params) -> None:
        """Reads the file; compiling is a step of its own."""
        if params.precision != "fp32":
            raise Unsupported(f"OpenVINO is asked for fp32 here, not {params.precision}")
        if params.device not in DEVICES:
            raise Unsupported(f"OpenVINO has no plugin for {params.device} here")
        self._device = DEVICES[params.device]
        self._params = params
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(path)
        except Exception as error:
            raise _explained(error) from error

    def compile(self, example: Feeds) -> bool:
        """`compile_model`, with the input types that the model declares."""
        del example
        try:
            self._compiled = self._core.compile_model(self._model, self._device, self._config())
        except Exception as error:
            raise _explained(error) from error
        self._request = self._compiled.create_infer_request()
        self._infer = self._request.infer
        ports = [self._compiled.output(name) for name in self._params.output_order]
        self._indices = [next(i for i, port in enumerate(self._compiled.outputs) if port == wanted) for wanted in ports]
        # By position: looking names up costs more than the spam network itself.
        names = [next(name for name in port.get_names() if name in self._params.input_order) for port in self._compiled.inputs]
        self._names = names
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Shared with the request on both sides: an output is overwritten by the next call."""
        results = self._infer([inputs[name] for name in self._names], share_inputs=True, share_outputs=True)
        return [results[index] for index in self._indices]

    def evidence(self) -> Evidence:
        """What the plugin says of the compiled model, asked after it ran."""
        ask = self._compiled.get_property
        executed = [str(device) for device in ask("EXECUTION_DEVICES")]
        precision = str(ask("INFERENCE_PRECISION_HINT"))
        fallback = None
        if executed != [self._device]:
            fallback = f"asked for {self._device}, executed on {', '.join(executed)}"
        elif "float32" not in precision and "'f32'" not in precision and precision != "f32":
            fallback = f"asked for fp32, the plugin computes in {precision}"
        return Evidence(
            device=executed[0].lower() if executed else "unknown", executed_on=executed, fallback=fallback,
            detail={"inference_precision": precision, "threads": int(ask("INFERENCE_NUM_THREADS")),
                    "streams": int(ask("NUM_STREAMS")), "pinning": bool(ask("ENABLE_CPU_PINNING")),
                    "performance_hint": str(ask("PERFORMANCE_HINT"))},
        )

    def versions(self) -> Dict[str, str]:
        """openvino and numpy."""
        return {"openvino": openvino.__version__.split("-")[0], "numpy": np.__version__}

    def _config(self) -> Dict[str, Any]:
        settings = self._params.settings
        # Without the precision hint the CPU plugin computes in bf16 on processors that have it.
        config: Dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self._params.threads}
        hint = settings.get("performance_hint", "latency")
        if hint not in HINTS:
            raise Unsupported(f"performance_hint is one of {', '.join(HINTS)}, not {hint!r}")
        if HINTS[hint] is not None:
            config["PERFORMANCE_HINT"] = HINTS[hint]
        if settings.get("num_streams"):
            config["NUM_STREAMS"] = int(settings["num_streams"])
        if settings.get("enable_cpu_pinning") is not None:
            config["ENABLE_CPU_PINNING"] = bool(settings["enable_cpu_pinning"])
        return config


def _explained(error: Exception) -> Exception:
    """`Unsupported` where the message says that the model is beyond OpenVINO; else the error itself."""
    text = " ".join(str(error).split())
    signs = ("OpenVINO does not support the following ONNX operations", "is not supported", "not implemented", "Not Implemented",
             "unsupported", "No translator found")
    return Unsupported(text[-300:]) if any(sign in text for sign in signs) else error
