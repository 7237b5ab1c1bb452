"""ONNX → MNN with MNN's own converter; runs in the converter's environment (MNN and onnx).

Writes `model.mnn` and `model.json`: the outputs' types, which MNN does not keep, and the switches that were used.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Dict, List

import numpy as np

from .base import ConvertParams, Unsupported

STEM = "model"
# The program `mnnconvert` would install a package with pip at its start and report every conversion to its vendor; the
# function behind it does neither. A process of its own: what it says of a failure it prints, and it may crash.
CALL = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"
PREFER = {"normal": "0", "smallest": "1", "fastest": "2"}
TAKEN = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "uint16", "bool")
SUBGRAPHS = ("If", "Loop", "Scan")


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the .mnn file below `out_dir`.

    Raises:
        Unsupported: an operator, type or shape that MNN or its session interface has not.
    """
    if params.precision != "fp32":
        raise Unsupported(f"MNN runs fp32 here, not {params.precision}")
    outputs = _check(path, params)
    switches = _switches(params)
    target = os.path.join(out_dir, STEM + ".mnn")
    command = [sys.executable, "-c", CALL, "mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", target,
               "--bizCode", "infermatrix", *(word for pair in switches.items() for word in pair)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    log = done.stdout.decode(errors="replace")
    sys.stdout.write(log)
    if not os.path.exists(target):  # it ends with 0 where it failed, too
        how = f" (signal {-done.returncode})" if done.returncode < 0 else ""
        raise Unsupported(f"MNN's converter cannot convert this model{how}: {_reason(log)}")
    with open(os.path.join(out_dir, STEM + ".json"), "w", encoding="utf-8") as file:
        json.dump({"outputs": outputs, "converted_with": switches}, file, indent=1)
    return STEM + ".mnn"


def _switches(params: ConvertParams) -> Dict[str, str]:
    settings = params.settings
    prefer = settings.get("optimize_prefer", "normal")
    if prefer not in PREFER:
        raise Unsupported(f"optimize_prefer is one of {', '.join(PREFER)}, not {prefer!r}")
    return {
        "--useGeluApproximation": "1" if settings.get("gelu_approximation", True) else "0",
        "--convertMatmulToConv": "1" if settings.get("matmul_as_convolution", True) else "0",
        "--optimizePrefer": PREFER[prefer],
    }


def _check(path: str, params: ConvertParams) -> Dict[str, str]:
    """Output → its type in the ONNX file."""
    import onnx

    for name in params.input_order:
        array = params.samples[name]
        if array.dtype.name not in TAKEN:
            raise Unsupported(f"MNN takes no input of type {array.dtype.name} ({name})")
        if array.dtype == np.int64 and array.size and np.abs(array).max() >= 2 ** 31:
            raise Unsupported(f"MNN has no 64-bit integers, and {name} needs them")
    graph = onnx.load(path, load_external_data=False).graph
    kinds = {node.op_type for node in graph.node}
    for kind in SUBGRAPHS:
        if kind in kinds:
            raise Unsupported(f"operator {kind} runs in MNN's module interface only, and this adapter uses its sessions")
    return {tensor.name: onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type).name for tensor in graph.output}


def _reason(log: str) -> str:
    """What it printed of the cause, without times and line numbers."""
    lines: List[str] = []
    for line in log.splitlines():
        text = line.split("] :", 1)[-1].strip()
        if text and not text.startswith(("Start to", "The device supports", "Converted Failed")) and "ONNX Model" not in text:
            lines.append(text.split(": ", 1)[-1] if text[:1].isdigit() else text)
    return " / ".join(lines[-3:])[:400] or "it printed no reason"
