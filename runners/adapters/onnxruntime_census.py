"""In which types ONNX Runtime really computed: read from its own profile of one inference.

The CPU provider has few kernels for float16; where there is none it widens weights and operators to float32 while it
loads, and nothing but the profile shows it.
"""
from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, Iterable, List

import onnxruntime

from .base import Feeds

# Operators that move or convert numbers; what is left computes.
MOVES = frozenset((
    "Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Reshape", "Transpose", "Flatten", "Squeeze",
    "Unsqueeze", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "Identity", "Expand", "Tile", "Pad", "Shape",
    "Where", "ReorderInput", "ReorderOutput", "MemcpyToHost", "MemcpyFromHost", "ConstantOfShape", "Range"))


def profile(path: str, options: Any, providers: List[Any], outputs: List[str], feeds: Feeds) -> List[Dict[str, Any]]:
    """The events of one inference in a session of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(scratch, "profile")
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        session.run(outputs, feeds)
        with open(session.end_profiling(), encoding="utf-8") as file:
            events: List[Dict[str, Any]] = json.load(file)
            return events


def providers_of(events: Iterable[Dict[str, Any]]) -> Dict[str, Dict[str, int]]:
    """Provider → operator → how many of them it executed; those that only move or convert numbers are left out."""
    found: Dict[str, Dict[str, int]] = {}
    for event in events:
        details = event.get("args") or {}
        operator, provider = details.get("op_name"), details.get("provider")
        if event.get("cat") == "Node" and operator and provider and operator not in MOVES:
            operators = found.setdefault(str(provider), {})
            operators[operator] = operators.get(operator, 0) + 1
    return found


def counted(events: Iterable[Dict[str, Any]]) -> Dict[str, Dict[str, int]]:
    """Type → operator → how many of them computed in it."""
    found: Dict[str, Dict[str, int]] = {}
    for event in events:
        details = event.get("args") or {}
        operator = details.get("op_name")
        if event.get("cat") != "Node" or not operator or operator in MOVES:
            continue
        operators = found.setdefault(_computes_in(details.get("input_type_shape") or []), {})
        operators[operator] = operators.get(operator, 0) + 1
    return found


def _computes_in(inputs: List[Dict[str, Any]]) -> str:
    """int8 as soon as one operand is, for the scales beside it are floats; else the first operand's type."""
    kinds = [kind for entry in inputs for kind in entry]
    if any(kind in ("int8", "uint8") for kind in kinds):
        return "int8"
    return {"float": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(kinds[0], kinds[0]) if kinds else "unknown"
