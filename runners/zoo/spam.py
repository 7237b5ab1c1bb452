"""The spam network of the data-flow study: a perceptron 200-128-64-32-16-8-1, so small that only overhead shows."""
from __future__ import annotations

from typing import Any, Dict

import numpy as np

from .source import SAMPLES, SEEDED, Recipe, fill_weights

WIDTHS = (200, 128, 64, 32, 16, 8, 1)


def recipe(_name: str) -> Recipe:
    """Seeded weights; the last layer is scaled so that the sigmoid neither saturates nor stays at one half."""
    return Recipe(network=_network, settle=_settle, inputs=_inputs, outputs=("output",), notes=[SEEDED])


def _network() -> Any:
    import torch

    layers = []
    for index in range(len(WIDTHS) - 1):
        layers.append(torch.nn.Linear(WIDTHS[index], WIDTHS[index + 1]))
        layers.append(torch.nn.ReLU() if index < len(WIDTHS) - 2 else torch.nn.Sigmoid())
    return torch.nn.Sequential(*layers).eval()


def _settle(module: Any, seed: int) -> None:
    fill_weights(module, seed)
    rng = np.random.default_rng(seed + 1)
    rng.standard_normal((SAMPLES, WIDTHS[0]))  # what `_inputs` draws
    _spread_logits(module, rng.standard_normal((256, WIDTHS[0])))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": np.random.default_rng(seed + 1).standard_normal((SAMPLES, WIDTHS[0])).astype(np.float32)}


def _spread_logits(module: Any, rows: np.ndarray) -> None:
    """Centre the logits on 0 with standard deviation 1.5 over `rows`: five narrow ReLU layers may leave them anywhere."""
    import torch

    last = module[-2]
    with torch.no_grad():
        logits = module[:-1].double()(torch.from_numpy(rows))
        scale = 1.5 / float(logits.std())
        last.weight.mul_(scale)
        last.bias.copy_((last.bias - logits.mean()) * scale)
    module.float()
