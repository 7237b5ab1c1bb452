"""Which dimensions of the inputs are free, which one is the batch, and what the others are set to (pure)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import ModelError
from orchestrator.model import TensorSpec

UNNAMED = "?"  # a free dimension without a symbol
UNKNOWN_RANK = ("...",)  # the shape of a tensor that declares none

_SEQUENCE = frozenset({"seq", "sequence", "length", "len", "time", "times", "timesteps", "token", "tokens", "frames",
                       "past", "seqlen", "maxlen"})
_SPATIAL = frozenset({"height", "width", "h", "w"})
_CHANNELS = frozenset({"channels", "channel", "c"})
_SEQUENCE_DEFAULT = 128
_SPATIAL_DEFAULT = 224
_CHANNEL_DEFAULT = 3
_IMAGE_RANK = 4
_SUM = re.compile(r"\s*(\w+)\s*\+\s*(\w+)\s*")


@dataclass(frozen=True, kw_only=True)
class Dims:
    """The shapes of one inference with a batch of 1 (or of `fixed_batch`)."""

    shapes: Mapping[str, tuple[int, ...]]
    batchable: bool  # by declaration only; the reference step verifies it
    fixed_batch: int  # likewise
    bound: Mapping[str, int]  # symbol -> value
    notes: tuple[str, ...]
    no_batch: str | None = None  # why it is not batchable, by declaration


def choose(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], asked: Mapping[str, tuple[int, ...]],
           learnt: Mapping[tuple[str, int], int], *, free_batch: bool = True) -> Dims:
    """Sets every free dimension: as asked, as the weights demand (`learnt`), or by its name.

    Raises:
        ModelError: `asked` names an unknown input, has the wrong rank or contradicts the model or itself.
    """
    specs = {spec.name: spec for spec in inputs}
    for name, shape in asked.items():
        _check_asked(name, shape, specs)
    no_batch = _no_batch(inputs, outputs, asked) if free_batch else "its rows are no batch"
    batchable = no_batch is None
    bound: dict[str, int] = {}
    for name, shape in asked.items():
        for axis, (dim, value) in enumerate(zip(specs[name].shape, shape, strict=True)):
            if isinstance(dim, str) and dim != UNNAMED and bound.setdefault(dim, value) != value:
                raise ModelError(f"dimension {dim!r} cannot be both {bound[dim]} and {value} (input {name!r})",
                                 hint=f"axis {axis} of {name} shares its size with another input")
    notes: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for spec in inputs:
        taken: list[str] = []
        shape = asked.get(spec.name) or tuple(
            _value(spec, axis, bound, learnt, taken, batch=batchable and axis == 0)
            for axis in range(len(spec.shape)))
        shapes[spec.name] = shape
        if taken:
            whole = "x".join(map(str, shape))
            notes.append(f"input {spec.name!r}: {', '.join(taken)} by default (--shape {spec.name}={whole} changes it)")
    shapes, more = _repair_sums(inputs, shapes, bound, asked)
    batch_symbols = {str(spec.shape[0]) for spec in inputs} if batchable else set()
    fixed = 1 if batchable else _fixed_batch(outputs, shapes)
    kept = {symbol: value for symbol, value in bound.items() if symbol not in batch_symbols}
    return Dims(shapes=shapes, batchable=batchable, fixed_batch=fixed, bound=kept, notes=(*notes, *more),
                no_batch=no_batch)


def _check_asked(name: str, shape: tuple[int, ...], specs: Mapping[str, TensorSpec]) -> None:
    if name not in specs:
        close = difflib.get_close_matches(name, list(specs), n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}? " if close else ""
        listed = ", ".join(specs) or "none"
        raise ModelError(f"the model has no input {name!r}", hint=f"{hint}its inputs: {listed}")
    declared = specs[name].shape
    if declared == UNKNOWN_RANK:
        return
    text = "x".join(map(str, declared)) or "a scalar"
    if len(shape) != len(declared):
        raise ModelError(f"input {name!r} has {len(declared)} dimensions ({text}), but --shape gives {len(shape)}",
                         hint=f"write --shape {name}={'x'.join(str(d) if isinstance(d, int) else '1' for d in declared)}")
    for axis, (dim, value) in enumerate(zip(declared, shape, strict=True)):
        if isinstance(dim, int) and dim != value:
            raise ModelError(f"dimension {axis} of input {name!r} is fixed at {dim} by the model, not {value}",
                             hint=f"its shape is {text}")
        if value < 1 and dim != value:
            raise ModelError(f"dimension {axis} of input {name!r} cannot be {value}", hint="sizes start at 1")


def _no_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec],
              asked: Mapping[str, tuple[int, ...]]) -> str | None:
    """None where every input and output starts with a free dimension, the same one for all inputs, that is no sequence."""
    if not inputs or not outputs:
        return f"the model has no {'outputs' if inputs else 'inputs'}"
    for what, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if spec.shape == UNKNOWN_RANK and what == "input":
                return f"input {spec.name!r} declares no shape"
            if not spec.shape:
                return f"{what} {spec.name!r} is a scalar, which has no dimension for a batch"
            if isinstance(spec.shape[0], int):
                return f"the file fixes the first dimension of {what} {spec.name!r} at {spec.shape[0]}"
    symbols = {str(spec.shape[0]) for spec in inputs} - {UNNAMED}
    if len(symbols) > 1:
        return f"the inputs begin with different dimensions ({', '.join(sorted(symbols))})"
    for symbol in symbols:
        if _words(symbol) & _SEQUENCE:
            return f"the first dimension is a sequence ({symbol})"
        if any(symbol in spec.shape[1:] for spec in inputs):
            return f"the first dimension ({symbol}) is another one's size as well"
    larger = [name for name in asked if asked[name][0] != 1]
    return f"--shape fixes the first dimension of input {larger[0]!r} at {asked[larger[0]][0]}" if larger else None


def _fixed_batch(outputs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The size that all inputs and outputs share as their first dimension, if it may be a batch; otherwise 1."""
    firsts = {shape[0] if len(shape) > 1 else 1 for shape in shapes.values()}
    if len(firsts) != 1:
        return 1
    size = firsts.pop()
    same = all(spec.shape and (isinstance(spec.shape[0], str) or spec.shape[0] == size) for spec in outputs)
    return size if same and size > 1 else 1


def _value(spec: TensorSpec, axis: int, bound: dict[str, int], learnt: Mapping[tuple[str, int], int],
           taken: list[str], *, batch: bool) -> int:
    dim = spec.shape[axis]
    if isinstance(dim, int):
        return dim
    if batch:
        return 1
    if dim in bound:
        return bound[dim]
    value = learnt.get((spec.name, axis))
    if value is None:
        value = _default(spec, axis, dim)
        named = f"dimension {axis}" if dim == UNNAMED else f"{dim} (dimension {axis})"
        taken.append(f"{named} = {value}")
    if dim != UNNAMED:
        bound[dim] = value
    return value


def _default(spec: TensorSpec, axis: int, symbol: str) -> int:
    words = _words(symbol)
    rank = len(spec.shape)
    if words & _SEQUENCE:
        return _SEQUENCE_DEFAULT
    if words & _SPATIAL:
        return _SPATIAL_DEFAULT
    if words & _CHANNELS:
        return _CHANNEL_DEFAULT
    if rank == _IMAGE_RANK and axis > 0 and spec.dtype not in ("int64", "bool"):
        channels_last = spec.shape[3] in (1, 3, 4)
        if axis in ((1, 2) if channels_last else (2, 3)):
            return _SPATIAL_DEFAULT
        return _CHANNEL_DEFAULT if symbol == UNNAMED else 1
    if rank == 2 and axis == 1 and spec.dtype in ("int32", "int64"):  # token ids: batch × tokens
        return _SEQUENCE_DEFAULT
    return 1


def _repair_sums(inputs: Sequence[TensorSpec], shapes: dict[str, tuple[int, ...]], bound: dict[str, int],
                 asked: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Symbols such as `past_sequence_length + sequence_length` get the sum of their parts."""
    repaired: dict[str, tuple[int, ...]] = {}
    notes = []
    for spec in inputs:
        shape = list(shapes[spec.name])
        for axis, dim in enumerate(spec.shape):
            match = _SUM.fullmatch(dim) if isinstance(dim, str) and spec.name not in asked else None
            parts = [int(p) if p.isdigit() else bound.get(p) for p in match.groups()] if match else []
            if parts and parts[0] is not None and parts[1] is not None and shape[axis] != parts[0] + parts[1]:
                shape[axis] = bound[str(dim)] = parts[0] + parts[1]
                notes.append(f"input {spec.name!r}: {dim} = {shape[axis]}")
        repaired[spec.name] = tuple(shape)
    return repaired, tuple(notes)


def _words(symbol: str) -> frozenset[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", symbol)
    return frozenset(re.split(r"[^a-z]+", spaced.lower())) - {""}
