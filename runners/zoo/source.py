"""What a built-in model is: how its network is made and fed, and what it is right before it is exported."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

SAMPLES = 16  # distinct rows of inputs.npz, where a model does not say otherwise
SEEDED = "weights are seeded, not trained"


@dataclass(frozen=True)
class Labelled:
    """Rows with their right answers, none of which the model was trained on."""

    inputs: Dict[str, np.ndarray]  # N rows each
    labels: np.ndarray  # N numbers of classes


@dataclass(frozen=True)
class Source:
    """A model with weights, in evaluation mode, and what to feed it."""

    name: str
    module: Any  # torch.nn.Module: positional inputs in the order of `inputs`; a tensor per output (a tuple of several)
    inputs: Dict[str, np.ndarray]  # as many rows each
    outputs: Tuple[str, ...]
    notes: List[str] = field(default_factory=list)
    labelled: Optional[Labelled] = None

    @property
    def samples(self) -> int:
        """Rows of each input."""
        return len(next(iter(self.inputs.values())))


def _kept(name: str) -> Optional[str]:
    return name


@dataclass(frozen=True)
class Recipe:
    """How a network without weights of its own becomes a Source: with random ones, or with those of a file."""

    network: Callable[[], Any]  # the architecture; what its weights are is not said
    settle: Callable[[Any, int], None]  # gives it random weights of a seed such that its outputs depend on its inputs
    inputs: Callable[[int], Dict[str, np.ndarray]]  # of a seed
    outputs: Tuple[str, ...]
    notes: List[str] = field(default_factory=list)  # where the weights are random
    rename: Callable[[str], Optional[str]] = _kept  # name in a published file of weights → ours; None: not used


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


def calibrate(module: Any, rows: np.ndarray) -> None:
    """Batch-norm statistics from one forward over `rows`, as a cumulative average (momentum=None).

    With the default statistics the outputs of a random network are nearly independent of its input. In double
    precision, so that the float32 statistics do not depend on the order in which a machine sums; only the norms are in
    training mode, because dropout and stochastic depth would draw from torch's generator.
    """
    import torch

    module.eval()
    for child in module.modules():
        if isinstance(child, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            child.momentum = None
            child.reset_running_stats()
            child.train()
    with torch.no_grad():
        module.double()(torch.from_numpy(rows).double())
    module.float().eval()
