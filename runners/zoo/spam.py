"""The spam network of the data-flow study: a perceptron 200-128-64-32-16-8-1, so small that only overhead shows."""
from __future__ import annotations

import numpy as np

from .source import SAMPLES, Source, fill_weights

WIDTHS = (200, 128, 64, 32, 16, 8, 1)


def build(seed: int) -> Source:
    """Seeded weights; the last layer is scaled so that the sigmoid neither saturates nor stays at one half."""
    import torch

    layers = []
    for index in range(len(WIDTHS) - 1):
        layers.append(torch.nn.Linear(WIDTHS[index], WIDTHS[index + 1]))
        layers.append(torch.nn.ReLU() if index < len(WIDTHS) - 2 else torch.nn.Sigmoid())
    module = torch.nn.Sequential(*layers).eval()
    fill_weights(module, seed)
    rng = np.random.default_rng(seed + 1)
    rows = rng.standard_normal((SAMPLES, WIDTHS[0])).astype(np.float32)
    _spread_logits(module, rng.standard_normal((256, WIDTHS[0])))
    return Source(name="spam", module=module, inputs={"input": rows}, output="output",
                  notes=["weights are seeded, not trained"])


def _spread_logits(module, rows: np.ndarray) -> None:
    """Centre the logits on 0 with standard deviation 1.5 over `rows`: five narrow ReLU layers may leave them anywhere."""
    import torch

    last = module[-2]
    with torch.no_grad():
        logits = module[:-1].double()(torch.from_numpy(rows))
        scale = 1.5 / float(logits.std())
        last.weight.mul_(scale)
        last.bias.copy_((last.bias - logits.mean()) * scale)
    module.float()
