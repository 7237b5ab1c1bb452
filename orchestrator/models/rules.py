"""What operators demand of the values that reach them: index ranges, trip counts, axes, sizes (pure tables)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


class RuleKind(str, Enum):
    """How the values of an input are drawn."""

    RANGE = "range"  # whole numbers in [low, high), or floats drawn uniformly from it
    FILL = "fill"  # every element is `low`
    ALTERNATE = "alternate"  # booleans: true in even samples, false in odd ones
    COUNT = "count"  # 0, 1, 2 …: axes, which must differ
    RESHAPE = "reshape"  # a target shape: -1 followed by ones, which fits any number of elements


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A demand on one input, with the operator that makes it."""

    kind: RuleKind
    low: float = 0
    high: float = 1  # exclusive
    why: str
    weak: bool = False  # a guess that yields to any demand that is known


class Context(Protocol):
    """What a rule may ask about the graph."""

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The shape of a value; None where the rank is unknown, None per unknown dimension."""

    def scalar(self, name: str) -> float | None:
        """The value of a one-element constant."""


Maker = Callable[[Any, Context], "Rule | None"]


def _below(data: int, axis: int | str | None, *, low: int = 0, inclusive: bool = False) -> Maker:
    """Indices into one dimension of input `data`: a fixed axis, an attribute's, or (None) the smallest dimension."""

    def make(node: Any, context: Context) -> Rule | None:
        shape = context.shape(node.input[data]) if data < len(node.input) else None
        # The first index is right whatever the size is.
        unknown = Rule(kind=RuleKind.RANGE, low=low, high=low + 1, why=f"{node.op_type} on data of unknown size", weak=True)
        if not shape:
            return unknown
        where = _attribute(node, axis, 0) if isinstance(axis, str) else axis
        if where is None:
            known = [dim for dim in shape if dim is not None]
            size = min(known) if len(known) == len(shape) else None
        else:
            size = shape[where] if -len(shape) <= where < len(shape) else None
        if size is None or size < 1:
            return unknown
        of = f"{node.op_type} on {node.input[data]!r} {list(shape)}"
        return Rule(kind=RuleKind.RANGE, low=low, high=size + (1 if inclusive else 0), why=of)

    return make


def _depth(node: Any, context: Context) -> Rule | None:
    depth = context.scalar(node.input[1])
    return None if depth is None or depth < 1 else Rule(
        kind=RuleKind.RANGE, low=0, high=int(depth), why=f"OneHot of depth {int(depth)}")


def _size_of(data: int, axis: int) -> Maker:
    def make(node: Any, context: Context) -> Rule | None:
        shape = context.shape(node.input[data])
        size = shape[axis] if shape and axis < len(shape) else None
        return None if size is None else Rule(kind=RuleKind.FILL, low=size, why=f"length for {node.op_type}")

    return make


def _fill(value: float) -> Maker:
    def make(node: Any, _context: Context) -> Rule:
        return Rule(kind=RuleKind.FILL, low=value, high=value + 1, why=f"{node.op_type} takes it as a parameter")

    return make


def _between(low: float, high: float) -> Maker:
    def make(node: Any, _context: Context) -> Rule:
        return Rule(kind=RuleKind.RANGE, low=low, high=high, why=f"operand of {node.op_type}")

    return make


def _kind(kind: RuleKind) -> Maker:
    def make(node: Any, _context: Context) -> Rule:
        return Rule(kind=kind, why=f"{node.op_type} takes it as a parameter")

    return make


_AXES_OPERATORS = ("Squeeze", "Unsqueeze", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
                   "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "CumSum", "CumProd", "Trilu")

SINKS: dict[tuple[str, int], Maker] = {
    ("Gather", 1): _below(0, "axis"), ("GatherElements", 1): _below(0, "axis"), ("GatherND", 1): _below(0, None),
    ("ScatterND", 1): _below(0, None), ("ScatterElements", 1): _below(0, "axis"), ("Scatter", 1): _below(0, "axis"),
    ("ArrayFeatureExtractor", 1): _below(0, -1), ("GatherBlockQuantized", 1): _below(0, "gather_axis"),
    ("EmbedLayerNormalization", 0): _below(2, 0), ("EmbedLayerNormalization", 1): _below(4, 0),
    ("EmbedLayerNormalization", 8): _below(3, 0), ("RoiAlign", 2): _below(0, 0),
    ("NegativeLogLikelihoodLoss", 1): _below(0, 1), ("SoftmaxCrossEntropyLoss", 1): _below(0, 1),
    ("OneHot", 0): _depth, ("OneHot", 1): _fill(8),
    ("ReverseSequence", 1): _below(0, "time_axis", low=1, inclusive=True),
    ("LSTM", 4): _size_of(0, 0), ("GRU", 4): _size_of(0, 0), ("RNN", 4): _size_of(0, 0),
    ("If", 0): _kind(RuleKind.ALTERNATE), ("Loop", 0): _fill(3), ("Loop", 1): _fill(1),
    ("TopK", 1): _fill(1), ("Tile", 1): _fill(1), ("Expand", 1): _fill(1), ("ConstantOfShape", 0): _fill(2),
    ("Reshape", 1): _kind(RuleKind.RESHAPE), ("Pad", 1): _fill(0), ("Slice", 1): _fill(0), ("Slice", 2): _fill(1),
    ("Slice", 3): _fill(0), ("Slice", 4): _fill(1), ("Range", 0): _fill(0), ("Range", 1): _fill(8),
    ("Range", 2): _fill(1), ("Resize", 2): _fill(1), ("Upsample", 1): _fill(1), ("Dropout", 1): _fill(0.5),
    ("Dropout", 2): _fill(0), ("Clip", 1): _fill(-1), ("Clip", 2): _fill(1), ("HannWindow", 0): _fill(16),
    ("HammingWindow", 0): _fill(16), ("BlackmanWindow", 0): _fill(16), ("DFT", 2): _fill(1),
    ("NonMaxSuppression", 1): _between(0, 1), ("NonMaxSuppression", 2): _fill(10),
    ("NonMaxSuppression", 3): _fill(0.5), ("NonMaxSuppression", 4): _fill(0.1),
    ("BatchNormalization", 4): _between(0.5, 1.5), ("Bernoulli", 0): _between(0, 1),
    ("BitShift", 1): _between(0, 8), ("Div", 1): _between(1, 10), ("Mod", 1): _between(1, 10),
    **{(operator, 1): _kind(RuleKind.COUNT) for operator in _AXES_OPERATORS},
}
"""(operator, input position) -> the demand on values that arrive there."""

PASSES: dict[str, tuple[int, ...]] = {
    "Cast": (0,), "Identity": (0,), "Unsqueeze": (0,), "Squeeze": (0,), "Reshape": (0,), "Flatten": (0,),
    "Transpose": (0,), "Expand": (0,), "Tile": (0,), "Slice": (0,), "Split": (0,), "Gather": (0,), "Pad": (0,),
    "GatherElements": (0,), "GatherND": (0,), "Where": (1, 2), "ReduceMax": (0,), "ReduceMin": (0,), "CastLike": (0,),
    "ScatterND": (0, 2), "ScatterElements": (0, 2), "ReverseSequence": (0,), "Dropout": (0,),
    "Optional": (0,), "DepthToSpace": (0,), "SpaceToDepth": (0,), "Trilu": (0,),
}
"""Operators whose outputs hold values of these inputs, unchanged."""

PASSES_ALL = frozenset({"Concat"})


def rule_for(node: Any, position: int, context: Context) -> Rule | None:
    """The demand of `node` on its input number `position`, if it makes one."""
    maker = SINKS.get((node.op_type, position))
    return maker(node, context) if maker else None


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
