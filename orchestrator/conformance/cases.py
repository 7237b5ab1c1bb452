"""The tests that the installed onnx package brings, as models with plain arrays: what a backend gets and what it must answer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from orchestrator.models.elements import NUMPY_TYPES
from orchestrator.models.graphs import nodes_below

Array = npt.NDArray[Any]
KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted", "real")
RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})
_CARRIED = frozenset(np.dtype(kind) for kind in NUMPY_TYPES.values())
_DOMAIN = "ai.onnx"


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator in one version; the default domain is spelt `ai.onnx`."""

    domain: str
    name: str
    since: int  # the version of the domain in which it was last changed, up to the test's; 0: not known to this onnx


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test as the onnx package has it, before it is written down."""

    kind: str
    name: str
    model: Any  # ModelProto
    sets: tuple[tuple[tuple[Array, ...], tuple[Array, ...]], ...]  # (inputs, outputs) of each data set; empty where `beyond`
    input_order: tuple[str, ...]
    output_order: tuple[str, ...]
    rtol: float
    atol: float
    compare: str  # values | shapes, of random operators
    beyond: str | None  # why it cannot be put to any backend here


def load_cases() -> Iterator[Case]:
    """Every test of the installed onnx package, in a fixed order; those that draw random data draw the same each time."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # their own data overflow and divide by zero on purpose
        np.random.seed(0)
        from onnx.backend.test.loader import load_model_tests

        for kind in KINDS:
            for test in sorted(load_model_tests(kind=kind), key=lambda test: str(test.name)):
                yield _case(kind, test)


def subject_of(model: Any) -> Operator | None:
    """The one operator that the main graph is made of, and so what the test is about; None where there are several."""
    versions = opset_of(model)
    named = {(node.domain or _DOMAIN, node.op_type) for node in model.graph.node}
    if len(named) != 1 or model.functions:
        return None
    domain, name = named.pop()
    return Operator(domain=domain, name=name, since=_since(domain, name, versions.get(domain, 1)))


def opset_of(model: Any) -> dict[str, int]:
    """Domain → version that the model imports."""
    return {entry.domain or _DOMAIN: int(entry.version) for entry in model.opset_import}


def _since(domain: str, name: str, version: int) -> int:
    try:
        schema = onnx.defs.get_schema(name, max_inclusive_version=version, domain="" if domain == _DOMAIN else domain)
    except onnx.defs.SchemaError:
        return 0
    return int(schema.since_version)


def _case(kind: str, test: Any) -> Case:
    model = test.model if test.model is not None else onnx.load(_file(test))
    weights = {tensor.name for tensor in (*model.graph.initializer, *(s.values for s in model.graph.sparse_initializer))}
    inputs = [value for value in model.graph.input if value.name not in weights]
    outputs = list(model.graph.output)
    beyond = _not_tensors(inputs, "input") or _not_tensors(outputs, "output")
    found: list[tuple[tuple[Array, ...], tuple[Array, ...]]] = []
    for given, wanted in () if beyond else _data(test, model, inputs):
        pair = _arrays(given, "input"), _arrays(wanted, "output")
        problem = next((side for side in pair if isinstance(side, str)), None)
        if problem is None and (len(pair[0]) != len(inputs) or len(pair[1]) != len(outputs)):
            problem = f"it has data for {len(pair[0])} inputs and {len(pair[1])} outputs, of {len(inputs)} and {len(outputs)}"
        if problem is not None:
            beyond = problem
            break
        found.append(pair)  # type: ignore[arg-type]
    return Case(
        kind=kind, name=str(test.name), model=model, sets=() if beyond else tuple(found),
        input_order=tuple(value.name for value in inputs), output_order=tuple(value.name for value in outputs),
        rtol=float(test.rtol), atol=float(test.atol), compare="shapes" if _is_random(model) else "values",
        beyond=beyond or (None if found else "it has no data"),
    )


def _file(test: Any) -> Path:
    """The model's file; `real` ones are named by a place below the package that is also their address."""
    if test.model_dir is not None:
        return Path(test.model_dir) / "model.onnx"
    return Path(onnx.__file__).parent.parent / str(test.url)


def _not_tensors(values: Sequence[Any], what: str) -> str | None:
    for value in values:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            words = {"sequence_type": "a sequence", "optional_type": "an optional", "map_type": "a map"}
            return f"{what} {value.name} is {words.get(kind, 'no tensor')}"
    return None


def _arrays(values: Sequence[Any], what: str) -> tuple[Array, ...] | str:
    """As plain arrays, or why they cannot be."""
    found = []
    for value in values:
        if not isinstance(value, (onnx.TensorProto, np.ndarray, np.generic, int, float, bool)):
            return f"an {what} is a {type(value).__name__}"
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        if array.dtype.kind in "OSU":
            return f"an {what} holds text"
        if array.dtype not in _CARRIED:
            return f"an {what} is of type {array.dtype.name}, which NumPy has not"
        found.append(array)
    return tuple(found)


def _data(test: Any, model: Any, inputs: Sequence[Any]) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    if test.data_sets is not None:
        yield from test.data_sets
    elif test.model_dir is not None:
        for folder in sorted(Path(test.model_dir).glob("test_data_set*")):
            yield _tensors(folder, "input"), _tensors(folder, "output")
    else:
        beside = _file(test).with_suffix("")
        count = len(model.graph.output)
        paths = [beside.with_name(f"{beside.name}_output_{place}.pb") for place in range(count)]
        if all(path.is_file() for path in paths):
            yield [_ramp(value) for value in inputs], [_tensor(path) for path in paths]


def _tensors(folder: Path, what: str) -> list[Any]:
    return [_tensor(folder / f"{what}_{place}.pb") for place in range(len(list(folder.glob(f"{what}_*.pb"))))]


def _tensor(path: Path) -> Any:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def _ramp(value: Any) -> Array:
    """The input of a `real` test: what onnx's own runner generates (`Runner.generate_dummy_data`)."""
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim)
    count = int(np.prod(shape))
    ramp: Array = (np.arange(count).reshape(shape) / count).astype(np.float32)
    return ramp


def _is_random(model: Any) -> bool:
    """Whether it draws numbers, of which no standard says which they are."""
    for node in nodes_below(model.graph.node):
        if node.op_type in RANDOM:
            return True
        # Dropout drops where its third input says that it trains.
        if node.op_type == "Dropout" and "training_dropout" in model.graph.name and "zero_ratio" not in model.graph.name:
            return True
    return False
