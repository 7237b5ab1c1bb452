"""How a converted model's tensors lie compared with ONNX: what a converter writes down and an adapter feeds by.

Converters from NCHW to NHWC move axes of inputs and outputs, rename and narrow them. The file says so per tensor; with it the
adapter gets from the model's own feeds to the converted model's and back. That is part of the timed inference.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

FILE = "layout.json"


@dataclass(frozen=True)
class Tensor:
    """One input or output."""

    name: str  # as the model has it
    inner: str  # as the converted model has it
    perm: Tuple[int, ...]  # the converted model's axes, each as the number of the model's axis; outputs: the other way round
    dtype: str  # what the converted model takes; outputs: what the model gives


@dataclass(frozen=True)
class Layout:
    """Of a whole model."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    any_batch: bool  # the converted model takes any number of samples at a time; else exactly as many as the model was given

    def write(self, folder: str) -> None:
        """As `layout.json`, beside the converted model."""
        with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)

    @staticmethod
    def beside(path: str) -> "Layout":
        """Of the converted model at `path`."""
        with open(os.path.join(os.path.dirname(path), FILE), encoding="utf-8") as file:
            raw: Mapping[str, Any] = json.load(file)
        return Layout(inputs=_tensors(raw["inputs"]), outputs=_tensors(raw["outputs"]), any_batch=bool(raw["any_batch"]))

    def feeds(self, inputs: Mapping[str, np.ndarray]) -> List[np.ndarray]:
        """Arrays for the converted model, in the order of `inputs`."""
        return [placed(inputs[one.name], one.perm, one.dtype) for one in self.inputs]

    def ordered(self, names: Sequence[str]) -> List[Tensor]:
        """The outputs in that order."""
        found: Dict[str, Tensor] = {one.name: one for one in self.outputs}
        return [found[name] for name in names]


def _tensors(rows: Sequence[Mapping[str, Any]]) -> Tuple[Tensor, ...]:
    return tuple(Tensor(name=row["name"], inner=row["inner"], perm=tuple(row["perm"]), dtype=row["dtype"]) for row in rows)


def placed(array: np.ndarray, perm: Sequence[int], dtype: str) -> np.ndarray:
    """The array with its axes moved, contiguous and of that type; itself where nothing is to be done."""
    if list(perm) == list(range(array.ndim)):
        return np.ascontiguousarray(array, dtype)
    if array.ndim == 4 and tuple(perm) == (0, 2, 3, 1):
        # Plane by plane: numpy's general transposition walks the narrow channel axis innermost and takes several times as long.
        moved = np.empty([array.shape[axis] for axis in perm], dtype)
        if array.shape[1] <= 16:
            for channel in range(array.shape[1]):
                moved[..., channel] = array[:, channel]
            return moved
    return np.ascontiguousarray(array.transpose(perm), dtype)


def channels_last(rank: int) -> Tuple[int, ...]:
    """(0, 2, 3, 1) for images, and alike for signals and volumes."""
    return (0, *range(2, rank), 1) if rank >= 3 else tuple(range(rank))


def channels_first(rank: int) -> Tuple[int, ...]:
    """The way back."""
    return (0, rank - 1, *range(1, rank - 1)) if rank >= 3 else tuple(range(rank))
