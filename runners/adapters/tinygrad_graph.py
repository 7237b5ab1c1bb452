"""Questions to the graph as tinygrad's importer read it: an `OnnxRunner`, with further ones in its operators' attributes."""
from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Sequence

from .base import Unsupported

SHAPES = ("Shape", "Size")  # their results depend on shapes alone


def graphs(runner: Any) -> Iterator[Any]:
    """The graph and all below it."""
    yield runner
    for node in runner.graph_nodes:
        for value in node.opts.values():
            if hasattr(value, "graph_nodes"):
                yield from graphs(value)


def admit_foreign_domains(domains: Any) -> None:
    """A file may import an operator set that it does not use; tinygrad refuses every name that its enumeration has not."""

    def foreign(kind: Any, name: object) -> Any:
        made = object.__new__(kind)
        made._name_ = made._value_ = name
        return made

    domains._missing_ = classmethod(foreign)


def lacking(runner: Any, domains: Sequence[Any]) -> List[str]:
    """Operators that tinygrad has not; those of other operator sets than its `domains` with that set's name."""
    nodes = [node for graph in graphs(runner) for node in graph.graph_nodes]
    own = {node.op for node in nodes if node.opset_id.domain in domains and node.op not in runner.onnx_ops}
    return sorted(own | {f"{node.opset_id.domain.value}::{node.op}" for node in nodes if node.opset_id.domain not in domains})


def tensors(runner: Any, kind: type) -> List[Any]:
    """Weights and constants, which the importer leaves on the disk until somebody asks; those without axes it has read."""
    found = []
    for graph in graphs(runner):
        values = [*graph.graph_values.values(), *(value for node in graph.graph_nodes for value in node.opts.values())]
        found += [value for value in values if isinstance(value, kind) and value.shape]
    return found


def forget(runner: Any) -> None:
    """What the importer noted of the last inputs' shapes."""
    for graph in graphs(runner):
        graph.variable_dims.clear()
        graph._python_const_cache.clear()


def check_fixed(runner: Any, fixed: Mapping[str, Sequence[int]]) -> None:
    """Raises Unsupported where an operator's `fixed` inputs depend on the values of the model's inputs: a capture keeps one."""
    depends = set(runner.graph_inputs)
    for node in runner.graph_nodes:
        if any(index < len(node.inputs) and node.inputs[index] in depends for index in fixed.get(node.op, ())):
            raise Unsupported(f"the operator {node.op} takes its shape or axes from the inputs' values, which a capture fixes")
        if node.op not in SHAPES and depends.intersection(node.inputs):
            depends.update(node.outputs)
