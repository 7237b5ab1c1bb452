"""Sub-pixel convolution (Shi et al. 2016): brightness of 224 × 224 becomes 672 × 672.

With four convolutions and named as in PyTorch's tutorial on exporting to ONNX, from which the ONNX model zoo's
`super-resolution-10` (sub_pixel_cnn_2016) comes.
"""
from __future__ import annotations

from typing import Any, Dict

import numpy as np

from .pictures import shades
from .source import SEEDED, Recipe, fill_weights

FACTOR = 3
ROWS = 8  # distinct inputs; each has a reference of 672 × 672


def recipe(_name: str) -> Recipe:
    """Nothing to calibrate: four layers do not forget their input."""
    return Recipe(network=_network, settle=fill_weights, inputs=_inputs, outputs=("output",), notes=[SEEDED])


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": shades(ROWS, seed + 2, channels=1)}


def _network() -> Any:
    from torch import nn

    class SuperResolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
            self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
            self.conv3 = nn.Conv2d(64, 32, 3, padding=1)
            self.conv4 = nn.Conv2d(32, FACTOR**2, 3, padding=1)
            self.pixel_shuffle = nn.PixelShuffle(FACTOR)

        def forward(self, rows: Any) -> Any:
            rows = self.relu(self.conv3(self.relu(self.conv2(self.relu(self.conv1(rows))))))
            return self.pixel_shuffle(self.conv4(rows))

    return SuperResolution()
