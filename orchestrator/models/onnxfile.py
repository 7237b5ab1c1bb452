"""Inspecting an ONNX file: its real inputs, outputs, free dimensions, opsets, data files and operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from orchestrator.errors import ModelError
from orchestrator.model import TensorSpec
from orchestrator.models import dims
from orchestrator.models.dimhints import learn_dims
from orchestrator.models.elements import HALVES, NUMPY_TYPES, element_name
from orchestrator.models.graphs import all_nodes, all_tensors, drop_large_data, element_count
from orchestrator.models.onnxload import external_files, read_model

# Domains whose operators come with ONNX or with onnxruntime; whatever else a file uses needs a library that is not here.
_KNOWN_DOMAINS = ("ai.onnx", "com.microsoft", "com.ms.internal", "org.pytorch.aten")
_NO_PARAMETERS = frozenset({"int64", "bool", "string"})  # shapes, indices, flags
_NPZ_HINT = "wrap the model so that its inputs are plain tensors"
_QUANTISED = ("QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinear", "MatMulNBits")


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """What inspecting found, and the shapes chosen for one inference (batch 1 where the batch is free)."""

    path: Path
    inputs: tuple[TensorSpec, ...]  # real ones: initializers and inputs with defaults are left out
    outputs: tuple[TensorSpec, ...]
    optional_inputs: tuple[str, ...]  # have a default in the file, which is kept
    dims: dims.Dims
    asked: Mapping[str, tuple[int, ...]]
    ir_version: int
    opsets: Mapping[str, int]  # domain ("" is ai.onnx) -> version
    size: int  # bytes, external data included
    external: tuple[str, ...]  # POSIX paths relative to the model's folder
    parameters: int
    operators: Mapping[str, int]  # "Conv" or "com.microsoft::Attention" -> count, subgraphs and functions included
    half: bool  # computes in 16-bit floats somewhere
    skeleton: ModelProto = field(repr=False, compare=False)  # the graph; tensors over 4 KB keep their dims only

    @property
    def quantised(self) -> bool:
        """Rounds to integers inside, so correct backends may differ by a quantum."""
        return any(name.split("::")[-1].startswith(_QUANTISED) for name in self.operators)

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """`domain::operator` of those that neither a known domain nor the file itself (model-local functions) defines."""
        local = {f"{function.domain}::{function.name}" for function in self.skeleton.functions}
        return tuple(name for name in self.operators if "::" in name and name not in local
                     and not any(name.startswith((f"{domain}::", f"{domain}.")) for domain in _KNOWN_DOMAINS))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided without being asked."""
        kept = tuple(f"input {name!r} has a default in the file, which is used" for name in self.optional_inputs)
        return (*self.dims.notes, *kept)


def inspect(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None, *, ranks_later: bool = False) -> OnnxFile:
    """Reads the file (never its external data) and chooses every free dimension.

    `ranks_later` lets inputs pass that declare no shape: arrays to come will tell.

    Raises:
        ModelError: not a usable ONNX model, an input that numpy cannot carry, or `shapes` does not fit.
    """
    path = Path(path)
    model = read_model(path)
    external = external_files(model, path)
    graph = model.graph
    defaults = {t.name for t in graph.initializer} | {s.values.name for s in graph.sparse_initializer}
    real = [value for value in graph.input if value.name not in defaults]
    inputs = tuple(_input_spec(value) for value in real)
    outputs = tuple(_output_spec(value) for value in graph.output)
    _check_names(inputs, "input")
    _check_names(outputs, "output")
    asked = dict(shapes or {})
    if not ranks_later:
        inputs = tuple(_with_asked_rank(spec, asked) for spec in inputs)
    size = path.stat().st_size + sum((path.parent / name).stat().st_size for name in external)
    tensors = list(all_tensors(model))
    parameters = sum(element_count(t) for t in tensors if element_name(t.data_type) not in _NO_PARAMETERS)
    types = {element_name(t.data_type) for t in tensors} | {s.dtype for s in (*inputs, *outputs)}
    half = bool(types & HALVES) or _casts_to_half(model)
    listed = {value.name for value in graph.input}
    # From IR 4 on, an initializer that is also listed as an input is a default the caller may override.
    optional = tuple(sorted(defaults & listed)) if model.ir_version >= 4 else ()
    drop_large_data(model)
    learnt = learn_dims(model, {spec.name: len(spec.shape) for spec in inputs})
    return OnnxFile(
        path=path, inputs=inputs, outputs=outputs, optional_inputs=optional,
        dims=dims.choose(inputs, outputs, asked, learnt), asked=asked, ir_version=model.ir_version,
        opsets={_domain(entry.domain): entry.version for entry in model.opset_import},
        size=size, external=external, parameters=parameters, operators=_operators(model), half=half, skeleton=model,
    )


def without_batch(file: OnnxFile) -> OnnxFile:
    """The same file with its first dimensions fixed: running it showed that they are no batch."""
    learnt = learn_dims(file.skeleton, {spec.name: len(spec.shape) for spec in file.inputs})
    chosen = dims.choose(file.inputs, file.outputs, file.asked, learnt, free_batch=False)
    return replace(file, dims=chosen)


def _input_spec(value: Any) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        what = (kind or "unknown").replace("_type", "")
        raise ModelError(f"unsupported input type: input {value.name!r} is a {what}, not a tensor", hint=_NPZ_HINT)
    spec = _spec(value)
    if spec.dtype not in NUMPY_TYPES:
        raise ModelError(f"unsupported input type: input {value.name!r} is a tensor of {spec.dtype}, "
                         "which a plain numpy array cannot hold",
                         hint=f"{_NPZ_HINT} of float, double, float16, bool or integers (a Cast in front will do)")
    return spec


def _output_spec(value: Any) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", None):
        raise ModelError(f"unsupported output type: output {value.name!r} is a {kind.replace('_type', '')}, "
                         "not a tensor", hint="wrap the model so that its outputs are plain tensors (no ZipMap)")
    spec = _spec(value)
    if spec.dtype not in NUMPY_TYPES and spec.dtype != "bfloat16":
        raise ModelError(f"unsupported output type: output {value.name!r} is a tensor of {spec.dtype}",
                         hint="wrap the model so that it returns numbers that a plain numpy array can hold")
    return spec


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    shape: tuple[int | str, ...] = dims.UNKNOWN_RANK
    if tensor.HasField("shape"):
        shape = tuple(_dim(entry) for entry in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=element_name(tensor.elem_type), shape=shape)


def _dim(entry: Any) -> int | str:
    kind = entry.WhichOneof("value")
    if kind == "dim_value" and entry.dim_value >= 0:
        return int(entry.dim_value)
    # Old exporters wrote -1 for "free".
    return str(entry.dim_param) if kind == "dim_param" and entry.dim_param else dims.UNNAMED


def _with_asked_rank(spec: TensorSpec, asked: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    if spec.shape != dims.UNKNOWN_RANK:
        return spec
    if spec.name not in asked:
        raise ModelError(f"input {spec.name!r} declares no shape at all",
                         hint=f"give it, for example --shape {spec.name}=1x3x224x224")
    return replace(spec, shape=tuple(dims.UNNAMED for _ in asked[spec.name]))


def _check_names(specs: tuple[TensorSpec, ...], what: str) -> None:
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise ModelError(f"the model has {count} {what}s called {name!r}", hint="names must differ; export it again")
        if not name:
            raise ModelError(f"the model has an {what} without a name", hint="export it again with named tensors")


def _casts_to_half(model: ModelProto) -> bool:
    return any(attribute.name == "to" and element_name(attribute.i) in HALVES
               for node in all_nodes(model) if node.op_type == "Cast" for attribute in node.attribute)


def _operators(model: ModelProto) -> dict[str, int]:
    counts = Counter(
        node.op_type if _domain(node.domain) == "" else f"{node.domain}::{node.op_type}" for node in all_nodes(model))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


