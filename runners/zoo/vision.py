"""ResNet50 and MobileNetV2: torchvision's architectures with seeded weights and calibrated batch normalisation."""
from __future__ import annotations

from typing import Any

import numpy as np
from torchvision_shim import declare_operators

from .source import SAMPLES, Source, fill_weights

SIDE = 224


def build(name: str, seed: int) -> Source:
    """`name` is torchvision's name of the architecture."""
    declare_operators()
    import torchvision.models

    module = getattr(torchvision.models, name)(weights=None)
    fill_weights(module, seed)
    _calibrate(module, pictures(SAMPLES, seed + 1))
    return Source(name=name, module=module.float().eval(), inputs={"input": pictures(SAMPLES, seed + 2)}, output="output",
                  notes=["weights are seeded, not trained; batch-norm statistics come from 16 seeded pictures"])


def pictures(count: int, seed: int) -> np.ndarray:
    """`count` × 3 × 224 × 224, normalised like ImageNet: blobs of several sizes with a colour cast of their own.

    Not white noise: global pooling averages that away, and the outputs of all samples would look alike.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros((count, 3, SIDE, SIDE))
    for cells in (1, 2, 4, 7, 14, 28, 56, 112):
        blobs = rng.standard_normal((count, 3, cells, cells))
        image += np.kron(blobs, np.ones((SIDE // cells, SIDE // cells))) / np.sqrt(cells)
    image += 0.1 * rng.standard_normal(image.shape)
    return image.astype(np.float32)


def _calibrate(module: Any, images: np.ndarray) -> None:
    """One forward in training mode with a cumulative average (momentum=None).

    With the default statistics the outputs of a random network are nearly independent of its input. In double
    precision, so that the float32 statistics do not depend on the order in which a machine sums.
    """
    import torch

    norms = [child for child in module.modules() if isinstance(child, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    with torch.no_grad():
        module.double().train()(torch.from_numpy(images).double())
    module.eval()
