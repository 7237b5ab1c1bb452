"""ONNX → ncnn with the pnnx tool; runs in the converter's environment (pnnx and onnx, no ncnn).

Writes `model.ncnn.param`, `model.ncnn.bin` and `model.ncnn.json`: names, shapes and types for the adapter, and whether the
graph has a batch axis.
"""
from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Tuple

import numpy as np

from .base import ConvertParams, Unsupported
from .ncnn_graph import Graph, repair

STEM = "model.ncnn"
SUFFIX = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
          "uint8": "u8"}
MAX_BYTES = 2 ** 31 - 2 ** 20
MAX_RANK = 5  # ncnn's Mat: batch, channel, depth, row, column


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the .param file below `out_dir`.

    Always converts one sample: the graph that comes out takes any batch, or is run sample by sample.

    Raises:
        Unsupported: an operator, type or shape that ncnn or pnnx has not.
    """
    if params.precision != "fp32":
        raise Unsupported(f"ncnn runs fp32 here, not {params.precision}")
    examples = _examples(params)
    outputs = _check(path, params, examples)
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        log = _pnnx(path, scratch, examples)
        param = os.path.join(scratch, STEM + ".param")
        if not os.path.exists(param) or not os.path.exists(os.path.join(scratch, STEM + ".bin")):
            raise Unsupported("pnnx wrote no ncnn model: " + _last_words(log))
        batch_index = _batch_index(os.path.join(scratch, "model_ncnn.py"))
        with open(param, encoding="utf-8") as file:
            graph = Graph.parse(file.read())
        with open(os.path.join(scratch, "model.pnnx.param"), encoding="utf-8") as file:
            graph = repair(graph, file.read(), batch_index)
        about = _about(graph, params, examples, outputs, batch_index)
        with open(os.path.join(out_dir, STEM + ".param"), "w", encoding="utf-8") as file:
            file.write(graph.text())
        os.replace(os.path.join(scratch, STEM + ".bin"), os.path.join(out_dir, STEM + ".bin"))
    with open(os.path.join(out_dir, STEM + ".json"), "w", encoding="utf-8") as file:
        json.dump(about, file, indent=1)
    return STEM + ".param"


def _examples(params: ConvertParams) -> Dict[str, np.ndarray]:
    """One sample per input, with the axes that the ONNX file has."""
    examples = {}
    for name in params.input_order:
        array = params.samples[name]
        examples[name] = array[:1] if params.batchable else array[0]
    for name, array in examples.items():
        if array.dtype.name not in SUFFIX:
            raise Unsupported(f"pnnx takes no input of type {array.dtype.name} ({name})")
        if array.ndim == 0 or array.size == 0:
            raise Unsupported(f"ncnn takes no scalar or empty input ({name})")
        if array.ndim > MAX_RANK:
            raise Unsupported(f"ncnn has no tensors of {array.ndim} dimensions ({name})")
        if array.dtype == np.int64 and np.abs(params.samples[name]).max() >= 2 ** 31:
            raise Unsupported(f"ncnn has no 64-bit integers, and {name} needs them")
    return examples


def _check(path: str, params: ConvertParams, examples: Dict[str, np.ndarray]) -> List[Dict[str, Any]]:
    """What the file itself tells before pnnx sees it; returns the outputs' names, shapes for one sample, and types."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    if sum(os.path.getsize(file) for file in {path, *_beside(path, model)}) > MAX_BYTES:
        raise Unsupported("pnnx reads models of up to 2 GB")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operator {node.domain}::{node.op_type} is none of ONNX's own")
        if any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute):
            raise Unsupported(f"ncnn has no control flow: operator {node.op_type} has a subgraph")
    initial = {tensor.name for tensor in model.graph.initializer}
    graph_inputs = [tensor.name for tensor in model.graph.input if tensor.name not in initial]
    if graph_inputs != list(params.input_order):
        raise Unsupported(f"the file's inputs are {graph_inputs}, the job's {list(params.input_order)}")
    for tensor in model.graph.input:
        if tensor.name in examples:
            _pin(tensor, examples[tensor.name].shape)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    outputs = []
    for index, tensor in enumerate(inferred.graph.output):
        kind = tensor.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        outputs.append({"name": tensor.name, "index": index, "shape": dims, "dtype": dtype})
    return outputs


def _pin(tensor: Any, shape: Tuple[int, ...]) -> None:
    dims = tensor.type.tensor_type.shape
    del dims.dim[:]
    for size in shape:
        dims.dim.add().dim_value = size


def _beside(path: str, model: Any) -> List[str]:
    """The files that hold the model's external data."""
    folder = os.path.dirname(os.path.abspath(path))
    names = {entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"}
    return [os.path.join(folder, name) for name in sorted(names)]


def _pnnx(path: str, scratch: str, examples: Dict[str, np.ndarray]) -> str:
    """Run the tool inside `scratch`, where it leaves a dozen files; returns what it printed."""
    import onnx

    local = os.path.join(scratch, "model.onnx")
    if _beside(path, onnx.load(path, load_external_data=False)):
        onnx.save(onnx.load(path), local)  # pnnx crashes on weights that lie beside the file
    else:
        os.symlink(os.path.abspath(path), local)
    shapes = ",".join(
        "[" + ",".join(str(size) for size in array.shape) + "]" + SUFFIX[array.dtype.name] for array in examples.values())
    done = subprocess.run([_tool(), "model.onnx", "inputshape=" + shapes, "fp16=0"], cwd=scratch, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    log = done.stdout.decode(errors="replace")
    sys.stdout.write(log)
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise Unsupported(f"pnnx cannot convert this model ({how}): {_last_words(log)}")
    return log


def _tool() -> str:
    """The program inside the package: the script beside the interpreter imports torch, which is not needed."""
    spec = importlib.util.find_spec("pnnx")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = os.path.join(folder, "pnnx")
        if os.access(program, os.X_OK):
            return program
    raise RuntimeError("the pnnx package is not installed in this environment")


def _last_words(log: str) -> str:
    plain = re.sub(r"\x1b\[[\d;]*m", "", log)
    lines = [line.strip() for line in plain.splitlines() if line.strip() and line.strip()[0] not in "│┌└├┃┏┗━#"]
    return " / ".join(lines[-3:])[:400] or "it printed nothing"


def _batch_index(script: str) -> int:
    """The axis that pnnx took for the batch, as its own example script passes it; -1: the inputs disagree."""
    with open(script, encoding="utf-8") as file:
        found = set(re.findall(r"Mat\(in\d+\.numpy\(\), batch_index=(\d+)\)", file.read()))
    return int(found.pop()) if len(found) == 1 else -1


def _about(graph: Graph, params: ConvertParams, examples: Dict[str, np.ndarray], outputs: List[Dict[str, Any]],
           batch_index: int) -> Dict[str, Any]:
    leading = {array.shape[0] for array in examples.values()}
    if batch_index == 0 and leading != {1}:
        raise Unsupported("ncnn takes the first axis for a batch of one, and here it is something else")
    if batch_index not in (0, 233):
        raise Unsupported("pnnx did not find one batch axis that all inputs share")
    if any(size < 1 for tensor in outputs for size in tensor["shape"]):
        raise Unsupported("the shape of an output depends on the values of the inputs")
    if params.batchable and any(not tensor["shape"] or tensor["shape"][0] != 1 for tensor in outputs):
        raise Unsupported("an output has no batch axis")
    tensors = []
    for index, (name, array) in enumerate(examples.items()):
        as_index, as_number = graph.uses(f"in{index}")
        if as_index and as_number:
            raise Unsupported(f"{name} is used both as an index and as a number, and an ncnn blob is either")
        # ncnn computes in float throughout; only its embedding reads the bits of an integer.
        tensors.append({"name": name, "feed_dtype": "int32" if as_index else "float32", "shape": list(array.shape)})
    return {"inputs": tensors, "outputs": outputs, "batch_index": batch_index}
