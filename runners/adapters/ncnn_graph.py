"""The text of an ncnn graph: what pnnx left in it that ncnn cannot run, and what can be put right."""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Set, Tuple

from .base import Unsupported

MAGIC = "7767517"
INDEXING = {"Embed"}  # layers that read an input as integers
PASSING = {"Split", "Reshape", "ExpandDims", "Squeeze", "Flatten", "Permute", "Noop", "Dropout"}  # hand their input on
AXES = "-23303"  # parameter 3 as an array
FLOATS = {"torch.float", "torch.float32", "torch.double", "torch.float64", "torch.half", "torch.float16"}
REDUCTIONS = ("sum", "mean", "max", "min", "prod", "logsumexp", "norm", "amax", "amin")


@dataclass(frozen=True)
class Layer:
    """One line."""

    kind: str
    name: str
    bottoms: Tuple[str, ...]
    tops: Tuple[str, ...]
    params: Tuple[str, ...]

    def line(self) -> str:
        """As ncnn reads it."""
        counts = (str(len(self.bottoms)), str(len(self.tops)))
        return " ".join((self.kind, self.name, *counts, *self.bottoms, *self.tops, *self.params))


@dataclass(frozen=True)
class Graph:
    """All of them, in order."""

    layers: Tuple[Layer, ...]

    @staticmethod
    def parse(text: str) -> Graph:
        """From a .param file; `Unsupported` if it is none."""
        lines = text.splitlines()
        if not lines or lines[0].strip() != MAGIC:
            raise Unsupported("pnnx wrote something that is no ncnn graph")
        return Graph(layers=tuple(_layer(line) for line in lines[2:] if line.strip()))

    def text(self) -> str:
        """The file, with the counts that ncnn allocates by."""
        blobs = {top for layer in self.layers for top in layer.tops}
        return "\n".join([MAGIC, f"{len(self.layers)} {len(blobs)}", *(layer.line() for layer in self.layers)]) + "\n"

    def uses(self, blob: str) -> Tuple[bool, bool]:
        """Whether `blob` is read as an index, and whether as a number, through layers that only pass it on."""
        reach: Set[str] = {blob}
        as_index = as_number = False
        for layer in self.layers:
            if not reach.intersection(layer.bottoms):
                continue
            if layer.kind in PASSING:
                reach.update(layer.tops)
            elif layer.kind in INDEXING:
                as_index = True
            else:
                as_number = True
        return as_index, as_number


def repair(graph: Graph, pnnx_text: str, batch_index: int) -> Graph:
    """The graph without what ncnn does not know, checked against pnnx's own intermediate graph (which counts the batch axis).

    Raises:
        Unsupported: naming the operator that is left.
    """
    graph = _with_axes(_without_casts(graph, pnnx_text), pnnx_text, batch_index)
    for layer in graph.layers:
        # ncnn's own layers are named in CamelCase; what pnnx could not translate keeps a name like torch.gather.
        if "." in layer.kind or ":" in layer.kind:
            raise Unsupported(f"operator {layer.kind} is none that ncnn has")
    return graph


def _layer(line: str) -> Layer:
    fields = line.split()
    bottoms, tops = int(fields[2]), int(fields[3])
    middle, end = 4 + bottoms, 4 + bottoms + tops
    return Layer(kind=fields[0], name=fields[1], bottoms=tuple(fields[4:middle]), tops=tuple(fields[middle:end]),
                 params=tuple(fields[end:]))


def _without_casts(graph: Graph, pnnx_text: str) -> Graph:
    """Casts to a float type fall away: in ncnn every blob that is not an index is float already."""
    targets = dict(re.findall(r"^Tensor\.to\s+(\S+)\s.*?\bdtype=(\S+)", pnnx_text, re.MULTILINE))
    renamed: Dict[str, str] = {}
    kept: List[Layer] = []
    for layer in graph.layers:
        bottoms = tuple(renamed.get(blob, blob) for blob in layer.bottoms)
        if layer.kind == "Tensor.to":
            if targets.get(layer.name) not in FLOATS:
                raise Unsupported(f"ncnn has no cast to {targets.get(layer.name, 'this type')}")
            if re.fullmatch(r"out\d+", layer.tops[0]):
                raise Unsupported("an output is nothing but a cast")
            renamed[layer.tops[0]] = bottoms[0]
        else:
            kept.append(replace(layer, bottoms=bottoms))
    return _shared(Graph(layers=tuple(kept)))


def _shared(graph: Graph) -> Graph:
    """Every blob has one reader in ncnn; where a dropped cast left two, split it."""
    readers: Dict[str, int] = {}
    for layer in graph.layers:
        for blob in layer.bottoms:
            readers[blob] = readers.get(blob, 0) + 1
    layers: List[Layer] = []
    copies: Dict[str, List[str]] = {}
    for layer in graph.layers:
        bottoms = tuple(copies[blob].pop(0) if copies.get(blob) else blob for blob in layer.bottoms)
        layers.append(replace(layer, bottoms=bottoms))
        for blob in layer.tops:
            if readers.get(blob, 0) > 1:
                copies[blob] = [f"{blob}_copy{i}" for i in range(readers[blob])]
                layers.append(Layer(kind="Split", name=f"split_{blob}", bottoms=(blob,), tops=tuple(copies[blob]), params=()))
    return Graph(layers=tuple(layers))


def _with_axes(graph: Graph, pnnx_text: str, batch_index: int) -> Graph:
    """Give reductions back the axis that pnnx loses where it is a single one (`dim=1`, not `dim=(1)`).

    Without it ncnn reduces nothing and says nothing.
    """
    empty = [layer for layer in graph.layers if _lacks_axes(layer)]
    if not empty:
        return graph
    layers = list(graph.layers)
    for kind in REDUCTIONS:
        wanted = [layer for layer in layers if layer.kind == "Reduction" and layer.name.startswith(kind + "_")]
        lines = [line for line in pnnx_text.splitlines() if line.startswith(f"torch.{kind} ")]
        if len(lines) == len(wanted):  # both files list them in the same order
            for index, layer in enumerate(wanted):
                layers[layers.index(layer)] = _with_axis(layer, lines[index], batch_index)
    if any(_lacks_axes(layer) for layer in layers):
        raise Unsupported("pnnx lost the axes of a reduction")
    return Graph(layers=tuple(layers))


def _lacks_axes(layer: Layer) -> bool:
    return layer.kind == "Reduction" and "1=0" in layer.params and f"{AXES}=0" in layer.params


def _with_axis(layer: Layer, line: str, batch_index: int) -> Layer:
    dim = re.search(r"\bdim=(-?\d+)(?=\s|$)", line)
    shape = re.search(r"\$input=(\S+).*?#\1=\(([\d,]*)\)", line)
    if dim is None or shape is None:
        return layer
    rank = len(shape.group(2).split(","))
    axis = int(dim.group(1)) % rank
    if batch_index == 0 and rank > 1:
        if axis == 0:
            return layer
        axis -= 1
    return replace(layer, params=tuple(
        f"{AXES}=1,{axis}" if param == f"{AXES}=0" else param for param in layer.params))
