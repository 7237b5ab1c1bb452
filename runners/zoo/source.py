"""What a built-in model is before it is exported."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

SAMPLES = 16  # distinct rows of inputs.npz


@dataclass(frozen=True)
class Labelled:
    """Rows with their right answers, none of which the model was trained on."""

    inputs: Dict[str, np.ndarray]  # N rows each
    labels: np.ndarray  # N numbers of classes


@dataclass(frozen=True)
class Source:
    """A model with weights, in evaluation mode, and what to feed it."""

    name: str
    module: Any  # torch.nn.Module: positional inputs in the order of `inputs`; one tensor out
    inputs: Dict[str, np.ndarray]  # SAMPLES rows each
    output: str
    notes: List[str] = field(default_factory=list)
    labelled: Optional[Labelled] = None


def fill_weights(module: Any, seed: int) -> None:
    """Kaiming-normal weights (gain for ReLU, fan-in) and small uniform biases, drawn from numpy.

    Drawn from numpy because torch's own generator gives other bits with another vector width: one seed has to mean
    one file on every machine.
    """
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for child in module.modules():
            if not isinstance(child, (torch.nn.Linear, torch.nn.Conv2d)):
                continue
            shape: Tuple[int, ...] = tuple(child.weight.shape)
            fan_in = int(np.prod(shape[1:]))
            weight = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
            child.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
            if child.bias is not None:
                bias = rng.uniform(-0.1, 0.1, tuple(child.bias.shape))
                child.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
