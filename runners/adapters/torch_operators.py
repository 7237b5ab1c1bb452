"""onnx2torch's operators whose integer inputs are constants, with those constants as plain Python numbers.

Its own modules read them out of tensors while they run (`if torch.any(shape == 0)`), which torch.export cannot follow.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from onnx2torch.node_converters import registry
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value

Numbers = List[int]
PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}  # ONNX's word → torch's


class Reshape(torch.nn.Module):
    """A 0 keeps the dimension, a -1 is inferred."""

    def __init__(self, shape: Numbers) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        return torch.reshape(x, [x.shape[i] if size == 0 else size for i, size in enumerate(self.shape)])


class Expand(torch.nn.Module):
    """Broadcasting both ways, as ONNX has it."""

    def __init__(self, shape: Numbers) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        missing = max(0, x.dim() - len(self.shape))
        wanted = [1] * missing + self.shape
        padded = [1] * (len(wanted) - x.dim()) + list(x.shape)
        return x.expand([padded[i] if want == 1 else want for i, want in enumerate(wanted)])


class Slice(torch.nn.Module):
    """numpy's slices; a negative step flips first, which torch does not."""

    def __init__(self, starts: Numbers, ends: Numbers, axes: Optional[Numbers], steps: Optional[Numbers]) -> None:
        super().__init__()
        axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
        self.parts = [(starts[i], ends[i], axes[i], steps[i]) for i in range(len(starts))]

    def forward(self, x: Any) -> Any:
        for start, end, axis, step in self.parts:
            if step < 0:
                size = x.shape[axis]
                index = list(range(*slice(start, end if end >= -size else None, step).indices(size)))
                x = torch.index_select(x, axis, torch.tensor(index, dtype=torch.int64))
            else:
                x = torch.ops.aten.slice.Tensor(x, axis, start, end, step)
        return x


class Squeeze(torch.nn.Module):
    """Axes, or every 1."""

    def __init__(self, axes: Optional[Numbers]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return torch.squeeze(x, tuple(self.axes)) if self.axes else torch.squeeze(x)


class Tile(torch.nn.Module):
    """repeat."""

    def __init__(self, repeats: Numbers) -> None:
        super().__init__()
        self.repeats = repeats

    def forward(self, x: Any) -> Any:
        return x.repeat(self.repeats)


class TopK(torch.nn.Module):
    """Values and indices."""

    def __init__(self, k: int, axis: int, *, largest: bool, ordered: bool) -> None:
        super().__init__()
        self.k, self.axis, self.largest, self.ordered = k, axis, largest, ordered

    def forward(self, x: Any) -> Tuple[Any, Any]:
        found = torch.topk(x, self.k, dim=self.axis, largest=self.largest, sorted=self.ordered)
        return found.values, found.indices


class Pad(torch.nn.Module):
    """Constant, reflect or edge; `pads` in ONNX's order."""

    def __init__(self, pads: Numbers, mode: str, value: float) -> None:
        super().__init__()
        half = len(pads) // 2
        turned = [size for axis in reversed(range(half)) for size in (pads[axis], pads[half + axis])]
        if mode not in PAD_MODES:
            raise NotImplementedError(f"Pad in mode {mode} is not implemented")
        while mode != "constant" and len(turned) > 2 and turned[-2:] == [0, 0]:
            turned = turned[:-2]  # torch wants no pads for leading axes in these modes
        self.pads, self.mode, self.value = turned, PAD_MODES[mode], value

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.pad(x, self.pads, mode=self.mode, value=self.value if self.mode == "constant" else None)


class Split(torch.nn.Module):
    """Given sizes along one axis."""

    def __init__(self, sizes: Numbers, axis: int) -> None:
        super().__init__()
        self.sizes, self.axis = sizes, axis

    def forward(self, x: Any) -> Any:
        return torch.split(x, self.sizes, dim=self.axis)


Constants = Callable[[int], Optional[Numbers]]  # the i-th input as numbers; None where it is absent; KeyError where it varies


def _pad(node: Any, constant: Constants) -> Any:
    if constant(3) is not None:
        raise KeyError("axes")
    value = constant(2)
    return Pad(constant(1) or [], node.attributes.get("mode", "constant"), float(value[0]) if value else 0.0)


def _topk(node: Any, constant: Constants) -> Any:
    attributes = node.attributes
    return TopK((constant(1) or [1])[0], attributes.get("axis", -1), largest=attributes.get("largest", 1) == 1,
                ordered=attributes.get("sorted", 1) == 1)


def _reshape(node: Any, constant: Constants) -> Any:
    if node.attributes.get("allowzero", 0):
        raise KeyError("allowzero")
    return Reshape(constant(1) or [])


def _split(node: Any, constant: Constants) -> Any:
    sizes = constant(1)
    if sizes is None:
        raise KeyError("equal parts")
    return Split(sizes, node.attributes.get("axis", 0))


def _shaped(kind: Any) -> Callable[[Any, Constants], Any]:
    """For modules that are made of the second input alone."""
    def make(node: Any, constant: Constants) -> Any:
        del node
        return kind(constant(1) or [])

    return make


def _slice(node: Any, constant: Constants) -> Any:
    del node
    return Slice(constant(1) or [], constant(2) or [], constant(3), constant(4))


MAKERS: Dict[str, Tuple[Tuple[int, ...], Callable[[Any, Constants], Any]]] = {
    "Reshape": ((5, 13, 14), _reshape),
    "Expand": ((8, 13), _shaped(Expand)),
    "Slice": ((10, 11, 13), _slice),
    "Squeeze": ((13,), _shaped(Squeeze)),
    "Tile": ((6, 13), _shaped(Tile)),
    "TopK": ((10, 11), _topk),
    "Pad": ((11, 13), _pad),
    "Split": ((13,), _split),
}


def register() -> None:
    """Put them before onnx2torch's own, which remain for inputs that vary."""
    for kind, (versions, make) in MAKERS.items():
        for version in versions:
            key = registry.OperationDescription(domain="", operation_type=kind, version=version)
            original = registry._CONVERTER_REGISTRY[key]
            if not getattr(original, "infermatrix", False):
                registry._CONVERTER_REGISTRY[key] = _constant_first(make, original)


def _constant_first(make: Callable[[Any, Constants], Any], original: Any) -> Any:
    def converter(node: Any, graph: Any) -> Any:
        def constant(index: int) -> Optional[Numbers]:
            if index >= len(node.input_values) or not node.input_values[index]:
                return None
            value = get_const_value(node.input_values[index], graph)
            numbers = value.reshape(-1).tolist() if isinstance(value, torch.Tensor) else value
            return list(numbers) if isinstance(numbers, (list, tuple)) else [numbers]

        try:
            module = make(node, constant)
        except KeyError:
            return original(node, graph)
        return OperationConverterResult(
            torch_module=module, onnx_mapping=OnnxMapping(inputs=(node.input_values[0],), outputs=node.output_values))

    converter.infermatrix = True  # type: ignore[attr-defined]
    return converter
