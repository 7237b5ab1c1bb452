"""The image transformation network of Johnson et al. (2016): a picture of 3 × 224 × 224 in [0, 255] becomes another.

Instance norm and nearest-neighbour upsampling as in PyTorch's examples (fast_neural_style), from which the ONNX model zoo's
`mosaic-9` and its siblings come; layers are named as there, so that its published weights fit.
"""
from __future__ import annotations

import re
from typing import Any, Dict, Optional

import numpy as np

from .pictures import shades
from .source import SEEDED, Recipe, fill_weights

ROWS = 8
_STATISTICS = re.compile(r".*in\d+\.running_(mean|var)$")


def recipe(_name: str) -> Recipe:
    """Nothing to calibrate: instance norm takes its statistics from each input."""
    return Recipe(network=_network, settle=fill_weights, inputs=_inputs, outputs=("output",), notes=[SEEDED], rename=_rename)


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": np.rint(255.0 * shades(ROWS, seed + 2)).astype(np.float32)}


def _rename(name: str) -> Optional[str]:
    # Files of old versions of torch hold statistics that instance norm never used.
    return None if _STATISTICS.match(name) else name


def _network() -> Any:
    from torch import nn

    class Conv(nn.Module):
        """A convolution over a mirrored border, upsampled first where `scale` says so."""

        def __init__(self, before: int, after: int, size: int, stride: int = 1, scale: int = 1) -> None:
            super().__init__()
            self.scale = scale
            self.reflection_pad = nn.ReflectionPad2d(size // 2)
            self.conv2d = nn.Conv2d(before, after, size, stride)

        def forward(self, rows: Any) -> Any:
            if self.scale > 1:
                rows = nn.functional.interpolate(rows, mode="nearest", scale_factor=float(self.scale))
            return self.conv2d(self.reflection_pad(rows))

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.conv1, self.in1 = Conv(width, width, 3), nn.InstanceNorm2d(width, affine=True)
            self.conv2, self.in2 = Conv(width, width, 3), nn.InstanceNorm2d(width, affine=True)
            self.relu = nn.ReLU()

        def forward(self, rows: Any) -> Any:
            return self.in2(self.conv2(self.relu(self.in1(self.conv1(rows))))) + rows

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.in1 = Conv(3, 32, 9), nn.InstanceNorm2d(32, affine=True)
            self.conv2, self.in2 = Conv(32, 64, 3, stride=2), nn.InstanceNorm2d(64, affine=True)
            self.conv3, self.in3 = Conv(64, 128, 3, stride=2), nn.InstanceNorm2d(128, affine=True)
            for number in range(1, 6):
                setattr(self, f"res{number}", Residual(128))
            self.deconv1, self.in4 = Conv(128, 64, 3, scale=2), nn.InstanceNorm2d(64, affine=True)
            self.deconv2, self.in5 = Conv(64, 32, 3, scale=2), nn.InstanceNorm2d(32, affine=True)
            self.deconv3 = Conv(32, 3, 9)
            self.relu = nn.ReLU()

        def forward(self, rows: Any) -> Any:
            rows = self.relu(self.in1(self.conv1(rows)))
            rows = self.relu(self.in2(self.conv2(rows)))
            rows = self.relu(self.in3(self.conv3(rows)))
            rows = self.res5(self.res4(self.res3(self.res2(self.res1(rows)))))
            rows = self.relu(self.in4(self.deconv1(rows)))
            return self.deconv3(self.relu(self.in5(self.deconv2(rows))))

    return Transformer()
