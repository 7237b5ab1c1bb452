"""Follows each graph input forward to the operators that restrict its values (embeddings, trip counts, axes …)."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnx import AttributeProto, ModelProto, numpy_helper

from orchestrator.models.graphs import nodes_below, subgraphs
from orchestrator.models.rules import PASSES, PASSES_ALL, Rule, RuleKind, rule_for
from orchestrator.models.shapes import inferred_shapes, inlined

_MAX_STEPS = 20_000  # per input: enough for any real path, and an end for hostile graphs
_SCAN_WITH_LENGTHS = 9  # before this opset Scan had sequence lengths as its first input


@dataclass(frozen=True)
class _State:
    """`name` holds scale × input + something between `low` and `high`."""

    name: str
    scale: float = 1
    low: float = 0
    high: float = 0


def find_rules(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Rule]:
    """The demand on each input that has one; `model` is a skeleton, `shapes` those chosen for its inputs."""
    flow = _Flow(inlined(model), shapes)
    found = {}
    for name in shapes:
        rule = flow.follow(name)
        if rule:
            found[name] = rule
    return found


class _Flow:
    """The graph with its subgraphs flattened (SSA names are unique across them)."""

    def __init__(self, model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._model = model
        self._given = shapes
        self._shapes: dict[str, tuple[int | None, ...]] | None = None
        self._constants: dict[str, Any] = {}
        self._uses: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        self._alias: dict[str, list[str]] = defaultdict(list)
        scan_8 = any(e.domain in ("", "ai.onnx") and e.version < _SCAN_WITH_LENGTHS for e in model.opset_import)
        self._add_initializers(model.graph)
        for node in nodes_below(model.graph.node):
            for position, name in enumerate(node.input):
                if name:
                    self._uses[name].append((node, position))
            if node.op_type == "Constant" and node.output:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._constants[node.output[0]] = attribute.t
            for graph in subgraphs(node):
                self._add_initializers(graph)
            for source, target in _across(node, skip_first=scan_8):
                self._alias[source].append(target)

    def follow(self, start: str) -> Rule | None:
        """Intersection of all demands reached from one input; a fixed value wins over a range."""
        queue = deque([_State(start)])
        seen = {start}
        rule: Rule | None = None
        for _ in range(_MAX_STEPS):
            if not queue:
                break
            state = queue.popleft()
            targets = [replace(state, name=name) for name in self._alias.get(state.name, ())]
            for node, position in self._uses.get(state.name, ()):
                demand = rule_for(node, position, self)
                if demand:
                    rule = _narrowed(rule, _back(demand, state))
                targets.extend(self._through(node, position, state))
            for target in targets:
                if target.name and target.name not in seen:
                    seen.add(target.name)
                    queue.append(target)
        return rule

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """See `rules.Context`."""
        constant = self._constants.get(name)
        if constant is not None:
            return tuple(constant.dims)
        if self._shapes is None:
            self._shapes = inferred_shapes(self._model, self._given)
        return self._shapes.get(name)

    def scalar(self, name: str) -> float | None:
        """See `rules.Context`."""
        bounds = self._bounds(name)
        return bounds[0] if bounds and bounds[0] == bounds[1] else None

    def _bounds(self, name: str) -> tuple[float, float] | None:
        """Smallest and largest element of a constant whose data is at hand."""
        tensor = self._constants.get(name)
        if tensor is None:
            return None
        try:
            array = numpy_helper.to_array(tensor)
            return (float(array.min()), float(array.max())) if array.size else None
        except (ValueError, TypeError):  # its data was too large to keep, or is no number
            return None

    def _through(self, node: Any, position: int, state: _State) -> list[_State]:
        """Where the value goes on to, unchanged or shifted."""
        if node.op_type in PASSES_ALL or position in PASSES.get(node.op_type, ()):
            return [replace(state, name=name) for name in node.output]
        if node.op_type in ("Add", "Sub", "Mul") and len(node.input) > 1:
            bounds = self._bounds(node.input[1 - position])
            moved = _moved(state, node, position, bounds) if bounds else None
            return [moved] if moved else []
        return []

    def _add_initializers(self, graph: Any) -> None:
        self._constants.update({tensor.name: tensor for tensor in graph.initializer})


def _moved(state: _State, node: Any, position: int, bounds: tuple[float, float]) -> _State | None:
    least, most = bounds
    if node.op_type == "Add":
        return replace(state, name=node.output[0], low=state.low + least, high=state.high + most)
    if node.op_type == "Sub" and position == 0:
        return replace(state, name=node.output[0], low=state.low - most, high=state.high - least)
    if node.op_type == "Mul" and least == most and least > 0:
        return _State(node.output[0], state.scale * least, state.low * least, state.high * least)
    return None


def _back(rule: Rule, state: _State) -> Rule:
    """The demand on the value as a demand on the input it came from."""
    if rule.kind is not RuleKind.RANGE or (state.scale == 1 and not state.low and not state.high):
        return rule
    low = (rule.low - state.low) / state.scale
    high = (rule.high - state.high) / state.scale
    whole = float(rule.low).is_integer() and float(rule.high).is_integer()
    if not whole:
        return replace(rule, low=low, high=high)
    # Indices below zero would be in range for x + 2, but no caller means them.
    return replace(rule, low=max(math.ceil(low), 0) if high > 0 else math.ceil(low), high=math.ceil(high))


def _narrowed(one: Rule | None, other: Rule) -> Rule:
    if one is None or (one.weak and not other.weak):
        return other
    if other.weak:
        return one
    if one.kind is not RuleKind.RANGE or other.kind is not RuleKind.RANGE:
        return one if one.kind is not RuleKind.RANGE else other
    low, high = max(one.low, other.low), min(one.high, other.high)
    if low >= high:  # contradictory: the first one met is nearer to the input
        return one
    return replace(one if one.high == high else other, low=low, high=high)


def _across(node: Any, *, skip_first: bool) -> Iterator[tuple[str, str]]:
    """(value outside, value inside) and back, for the subgraphs of one node."""
    for attribute in node.attribute:
        if attribute.type != AttributeProto.GRAPH:
            continue
        graph = attribute.g
        inner = [value.name for value in graph.input]
        results = [value.name for value in graph.output]
        outer = list(node.input)
        if node.op_type == "Loop":
            yield from zip(outer[2:], inner[2:], strict=False)
            yield from zip(results[1:], node.output, strict=False)
        elif node.op_type in ("Scan", "SequenceMap"):
            first = 1 if skip_first and node.op_type == "Scan" else 0
            yield from zip(outer[first:], inner, strict=False)
            yield from zip(results, node.output, strict=False)
        elif node.op_type == "If":
            yield from zip(results, node.output, strict=False)
