"""ONNX → Paddle's own files with x2paddle; runs in the converter's environment (x2paddle, paddlepaddle and onnx 1.16).

Writes `model.json` (the program; Paddle wants this ending), `model.pdiparams` (the weights) and `tensors.json`: which of the
program's inputs is which, and the types that ONNX gives the outputs.
"""
from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import tempfile
from typing import Any, Dict, Iterator, List

import numpy as np

from .base import ConvertParams, Unsupported
from .layernorm_expand import expand

PROGRAM, WEIGHTS, ABOUT = "model.json", "model.pdiparams", "tensors.json"
OPSET = 17  # the newest whose operators x2paddle reads as they are meant; from 18 on it would pass over axes that are inputs
ALONG_ONE_AXIS = 13  # from here on ONNX means Softmax as x2paddle always takes it; before, it made two axes of all
SOFTMAXES = ("Softmax", "LogSoftmax", "Hardmax")
PREFIX = "x2paddle_"  # what it puts before every name
# Attributes whose absence x2paddle takes for another value than ONNX gives them, or stumbles over.
SPELT_OUT = {**dict.fromkeys(SOFTMAXES, ("axis",)), "LeakyRelu": ("alpha",), "Elu": ("alpha",), "ThresholdedRelu": ("alpha",),
             **{f"Reduce{kind}": ("keepdims",) for kind in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum")}}


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the program's file below `out_dir`.

    Raises:
        Unsupported: an operator, or a use of one, that x2paddle or Paddle has not.
    """
    import onnx

    if params.precision != "fp32":
        raise Unsupported(f"Paddle Inference runs fp32 here, not {params.precision}")
    model = at_opset(onnx.load(path))
    about = _about(model, params)
    _check(model)
    expanded = expand(model)
    spell_out(model)
    _plain(model)
    names = _rename(model)
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        prepared = os.path.join(scratch, "model.onnx")
        onnx.save(model, prepared)
        made = os.path.join(scratch, "paddle")
        _x2paddle(prepared, made)
        for name in (PROGRAM, WEIGHTS):
            if os.path.exists(os.path.join(made, "inference_model", name)):  # a program without weights comes alone
                os.replace(os.path.join(made, "inference_model", name), os.path.join(out_dir, name))
    about["inputs"] = {name: PREFIX + names[name] for name in params.input_order}
    about["layer_normalisations_written_out"] = expanded
    with open(os.path.join(out_dir, ABOUT), "w", encoding="utf-8") as file:
        json.dump(about, file, indent=1)
    return PROGRAM


def at_opset(model: Any) -> Any:
    """The model at an opset that x2paddle reads as it is meant; the model itself where it is at one.

    Raises:
        Unsupported: ONNX's version converter cannot bring it there.
    """
    import onnx
    from onnx import version_converter

    version = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] or [1])
    wanted = min(version, OPSET)
    if any(node.op_type in SOFTMAXES for node in model.graph.node):
        wanted = max(wanted, ALONG_ONE_AXIS)
    if wanted == version:
        return model
    try:
        return version_converter.convert_version(model, wanted)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise Unsupported(f"x2paddle needs opset {wanted} here, ONNX's converter has no way from {version}: {reason}") from error


def _about(model: Any, params: ConvertParams) -> Dict[str, Any]:
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor.name for tensor in model.graph.input if tensor.name not in weights]
    if sorted(inputs) != sorted(params.input_order):
        raise Unsupported(f"the file's inputs are {inputs}, the job's {list(params.input_order)}")
    outputs = []
    for tensor in model.graph.output:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type))
        outputs.append({"name": tensor.name, "dtype": dtype.name})
    return {"outputs": outputs}


def _check(model: Any) -> None:
    import onnx

    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operator {node.domain}::{node.op_type} is none of ONNX's own")
        if any(one.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for one in node.attribute):
            raise Unsupported(f"operator {node.op_type} has a subgraph, inside which x2paddle loses the names of tensors")


def spell_out(model: Any) -> None:
    """Writes down the defaults of attributes that are absent."""
    import onnx

    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        absent = set(SPELT_OUT.get(node.op_type, ())) - {one.name for one in node.attribute}
        for name in sorted(absent):
            node.attribute.append(onnx.defs.get_schema(node.op_type, opset, "").attributes[name].default_value)


def _plain(model: Any) -> None:
    """Tensors in attributes as raw bytes: x2paddle takes any other form for empty. And no dilations where they are none."""
    import onnx

    for node in model.graph.node:
        if node.op_type == "MaxPool":  # x2paddle refuses the attribute, whatever is in it
            kept = [one for one in node.attribute if one.name != "dilations" or any(size != 1 for size in one.ints)]
            copies = [type(one).FromString(one.SerializeToString()) for one in kept]
            del node.attribute[:]
            node.attribute.extend(copies)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(attribute.t), attribute.t.name))


def _rename(model: Any) -> Dict[str, str]:
    """Names become variables of the Python that x2paddle writes and runs; it makes `a.b` and `a_b` one."""
    graph = model.graph
    names: Dict[str, str] = {"": ""}

    def short(name: str) -> str:
        return names.setdefault(name, f"t{len(names)}")

    for tensor in (*graph.input, *graph.initializer, *graph.output):
        tensor.name = short(tensor.name)
    for node in graph.node:
        for end in (node.input, node.output):
            end[:] = [short(name) for name in end]
        node.name = ""
    del graph.value_info[:]
    return names


def _x2paddle(path: str, folder: str) -> None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _sums_told_apart():
            # disable_feedback: it reports every conversion to its vendor otherwise.
            importlib.import_module("x2paddle.convert").onnx2paddle(path, folder, disable_feedback=True)
    except (Exception, SystemExit) as error:  # it ends the process where Paddle refuses what it wrote
        raise Unsupported(_reason(error, said.getvalue())) from error
    if not os.path.exists(os.path.join(folder, "inference_model", PROGRAM)):
        raise Unsupported(f"x2paddle wrote no program: {_last_line(said.getvalue())}")


@contextlib.contextmanager
def _sums_told_apart() -> Iterator[None]:
    """x2paddle writes ReduceSum as sum(…, keepdim=1); Paddle 3 takes a keepdim that is no bool for a type and ends itself."""
    paddle = importlib.import_module("paddle")
    original = paddle.sum

    def told_apart(x: Any, axis: Any = None, keepdim: Any = False) -> Any:
        return original(x, axis=axis, keepdim=bool(keepdim))

    paddle.sum = paddle.jit.not_to_static(told_apart)
    try:
        yield
    finally:
        paddle.sum = original


def _reason(error: BaseException, said: str) -> str:
    lacking = sorted(set(re.findall(r"^=+ (\w+) =+$", said, flags=re.MULTILINE)))
    if len(lacking) == 1:
        return f"x2paddle has no operator {lacking[0]}"
    if lacking:
        return f"x2paddle has none of the operators {', '.join(lacking)}"
    return f"x2paddle cannot convert the model: {type(error).__name__}: {_last_line(str(error)) or _last_line(said)}"


def _last_line(text: str) -> str:
    lines: List[str] = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
