"""Inputs for a model: drawn from a seed within the ranges the graph allows, or given by the user as .npz/.npy."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import ModelError
from orchestrator.model import TensorSpec
from orchestrator.models.dims import UNKNOWN_RANK
from orchestrator.models.elements import FLOATS, numpy_type
from orchestrator.models.npzfile import read_npz
from orchestrator.models.onnxfile import OnnxFile
from orchestrator.models.rules import Rule, RuleKind
from orchestrator.models.valueflow import find_rules

Array = npt.NDArray[Any]
_DEFAULT_INTEGERS = 10
_MOST_VALUES = 2**28  # per sample: 1 GiB of float32, and there are 16 samples
_MAX_GIVEN_BYTES = 8 * 1024**3


class Spread(str, Enum):
    """What floats are drawn from."""

    NORMAL = "normal"  # N(0, 1)
    UNIT = "unit"  # uniform in [0, 1): for graphs with Log, Sqrt or Pow that have no answer below zero


def input_rules(file: OnnxFile) -> dict[str, Rule]:
    """What the graph demands of its inputs' values; a mask is all ones whatever its type."""
    rules = find_rules(file.skeleton, file.dims.shapes)
    for spec in file.inputs:
        words = spec.name.lower()
        if "mask" in words and spec.name not in rules:
            rules[spec.name] = Rule(kind=RuleKind.FILL, low=1, why="an attention mask: attend everywhere")
        elif ("token_type" in words or "segment_id" in words) and spec.name not in rules:
            rules[spec.name] = Rule(kind=RuleKind.RANGE, low=0, high=2, why="two kinds of token")
    return rules


def rule_notes(file: OnnxFile, rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """One line per input whose values follow a rule of the graph."""
    lines = []
    for spec in file.inputs:
        rule = rules.get(spec.name)
        if rule is None:
            continue
        what = {RuleKind.RANGE: f"values from {rule.low:g} to below {rule.high:g}", RuleKind.FILL: f"all {rule.low:g}",
                RuleKind.ALTERNATE: "true and false in turn", RuleKind.RESHAPE: "-1 followed by ones",
                RuleKind.COUNT: "0, 1, 2 …"}[rule.kind]
        lines.append(f"input {spec.name!r}: {what} ({rule.why})")
    return tuple(lines)


def generate(file: OnnxFile, samples: int, seed: int, *, spread: Spread = Spread.NORMAL,
             rules: Mapping[str, Rule] | None = None) -> dict[str, Array]:
    """`samples` distinct rows per input: (S, *row) where the batch is free, (S, *whole shape) where not.

    Equal arguments give equal arrays on every machine; row i does not depend on `samples`.
    """
    chosen = input_rules(file) if rules is None else rules
    arrays = {}
    for spec in file.inputs:
        shape = file.dims.shapes[spec.name]
        row = shape[1:] if file.dims.batchable else shape
        arrays[spec.name] = np.stack(
            [_draw(spec, row, chosen.get(spec.name), _stream(seed, spec.name, sample), sample, spread)
             for sample in range(samples)])
    return arrays


def _stream(seed: int, name: str, sample: int) -> np.random.Generator:
    word = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "little")
    return np.random.default_rng([seed, word, sample])


def _draw(spec: TensorSpec, shape: tuple[int, ...], rule: Rule | None, random: np.random.Generator, sample: int,
          spread: Spread) -> Array:
    dtype = numpy_type(spec.dtype)
    if np.prod(shape, dtype=float) > _MOST_VALUES:
        raise ModelError(
            f"input {spec.name!r} would hold {np.prod(shape, dtype=float):.3g} values per sample ({'×'.join(map(str, shape))})",
            hint="Give smaller dimensions with --shape.",
        )
    if rule and rule.kind is RuleKind.FILL:
        return np.full(shape, rule.low).astype(dtype)
    if rule and rule.kind is RuleKind.ALTERNATE:
        return np.full(shape, sample % 2 == 0).astype(dtype)
    if rule and rule.kind is RuleKind.COUNT:
        return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    if rule and rule.kind is RuleKind.RESHAPE:
        target = np.ones(shape, dtype)
        target.reshape(-1)[:1] = -1
        return target
    if spec.dtype in FLOATS:
        if rule:
            return random.uniform(rule.low, rule.high, shape).astype(dtype)
        values = random.standard_normal(shape) if spread is Spread.NORMAL else random.random(shape)
        return np.asarray(values).astype(dtype)
    if spec.dtype == "bool":
        return np.asarray(random.random(shape) < 0.5)
    low, high = (rule.low, rule.high) if rule else (0, 256 if spec.dtype == "uint8" else _DEFAULT_INTEGERS)
    limits = np.iinfo(dtype)
    low, high = max(int(low), int(limits.min)), min(int(high), int(limits.max) + 1)
    if low >= high:
        raise ModelError(f"no {spec.dtype} value can satisfy input {spec.name!r}: "
                         f"{rule.why if rule else 'empty range'}", hint="give inputs of your own with --inputs FILE.npz")
    signed = random.integers(low, min(high, 2**63 - 1), shape, dtype=np.int64)
    return np.asarray(signed).astype(dtype)


def read_given(path: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """The user's own inputs, names and types checked against the model's declaration.

    Raises:
        ModelError: unreadable, pickled, unknown or missing names, another type.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of inputs", hint="give an .npz with one array per input")
    names = [spec.name for spec in inputs]
    arrays = _read(path, names)
    unknown = [name for name in arrays if name not in names]
    if unknown:
        close = difflib.get_close_matches(unknown[0], names, n=1)
        raise ModelError(f"{path} holds {unknown[0]!r}, but the model has no such input",
                         hint=(f"did you mean {close[0]}? " if close else "") + f"its inputs: {', '.join(names) or 'none'}")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ModelError(f"{path} lacks the input {missing[0]!r}", hint=f"the model's inputs: {', '.join(names)}")
    for spec in inputs:
        if arrays[spec.name].dtype != numpy_type(spec.dtype):
            wanted = numpy_type(spec.dtype)
            raise ModelError(f"{path}: {spec.name!r} has type {arrays[spec.name].dtype}, the model takes {wanted}",
                             hint=f"convert it with .astype({wanted.name!r})")
    return {name: arrays[name] for name in names}


def given_shapes(arrays: Mapping[str, Array], inputs: tuple[TensorSpec, ...], *,
                 free_batch: bool) -> dict[str, tuple[int, ...]]:
    """The shape of one inference that the given arrays stand for: free dimensions follow them.

    With `free_batch` a free first dimension counts samples; without, an array of the declared rank is one sample.

    Raises:
        ModelError: an array is neither one sample nor a stack of samples.
    """
    shapes = {}
    for spec in inputs:
        given, declared = arrays[spec.name].shape, spec.shape
        if declared == UNKNOWN_RANK:
            shapes[spec.name] = tuple(given)
        elif _fits(given, declared):
            free = free_batch and bool(declared) and isinstance(declared[0], str)
            shapes[spec.name] = (1, *given[1:]) if free else tuple(given)
        elif len(given) == len(declared) + 1 and _fits(given[1:], declared):
            shapes[spec.name] = tuple(given[1:])
        elif len(given) == len(declared) - 1 and isinstance(declared[0], str) and _fits(given, declared[1:]):
            shapes[spec.name] = (1, *given)
        else:
            wanted = "x".join(map(str, declared)) or "a scalar"
            raise ModelError(f"the array for input {spec.name!r} has shape {'x'.join(map(str, given)) or 'scalar'}, "
                             f"the model takes {wanted}", hint="give one sample, or samples stacked along the first axis")
    return shapes


def as_rows(arrays: Mapping[str, Array], file: OnnxFile) -> dict[str, Array]:
    """Given arrays as (S, *row) or (S, *whole shape), as `generate` returns them.

    Raises:
        ModelError: the inputs do not hold equally many samples, or none.
    """
    rows = {}
    for spec in file.inputs:
        shape = file.dims.shapes[spec.name]
        row = shape[1:] if file.dims.batchable else shape
        rows[spec.name] = _stacked(arrays[spec.name], row, spec.name)
    counts = {len(array) for array in rows.values()}
    if len(counts) > 1 or 0 in counts:
        listed = ", ".join(f"{name}: {len(array)}" for name, array in rows.items())
        raise ModelError(f"the given inputs hold different numbers of samples ({listed})",
                         hint="every array needs the same number of rows, at least one")
    return rows


def _stacked(array: Array, row: tuple[int, ...], name: str) -> Array:
    if array.shape == row:
        return array[None]
    if array.shape[1:] == row:
        return array
    if array.ndim and array.shape[1:] == row[1:] and row[:1] == (1,):  # stacked along a first dimension fixed at 1
        return array[:, None]
    raise ModelError(f"the array for input {name!r} has shape {'x'.join(map(str, array.shape)) or 'scalar'}, one sample "
                     f"is {'x'.join(map(str, row)) or 'a scalar'}",
                     hint="give one sample, or samples stacked along the first axis")


def _fits(given: tuple[int, ...], declared: tuple[int | str, ...]) -> bool:
    return len(given) == len(declared) and all(
        isinstance(dim, str) or dim == size for size, dim in zip(given, declared, strict=True))


def _read(path: Path, names: list[str]) -> dict[str, Array]:
    try:
        with path.open("rb") as stream:
            if stream.read(2) == b"PK":
                return read_npz(path, max_bytes=_MAX_GIVEN_BYTES)
            stream.seek(0)
            array = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be used as inputs: {error}", hint="write it with numpy.savez, without objects"
                         ) from error
    if len(names) != 1:
        raise ModelError(f"{path} holds one array, but the model has {len(names)} inputs",
                         hint="write them by name: numpy.savez('inputs.npz', NAME=array, …)")
    return {names[0]: array}
