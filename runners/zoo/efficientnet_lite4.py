"""EfficientNet-lite4 (Google 2020): EfficientNet-B4 without squeeze-and-excite, with ReLU6, stem and head not scaled.

For 3 × 224 × 224, as the ONNX model zoo's `efficientnet-lite4-11` (the published accuracy is of 300 × 300). Padding is
TensorFlow's "same", and layers are named as timm's `tf_efficientnet_lite4`, so that its weights fit.
"""
from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import numpy as np

from .pictures import pictures
from .source import SAMPLES, SEEDED, Recipe, calibrate, fill_weights

WIDTH, DEPTH = 1.4, 1.8
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3
# Of EfficientNet-B0: expansion, channels, units, stride, kernel.
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
          (6, 320, 1, 1, 3))


def recipe(_name: str) -> Recipe:
    """The batch norms are calibrated on 16 seeded pictures."""
    return Recipe(network=_network, settle=_settle, inputs=_inputs, outputs=("output",),
                  notes=[f"{SEEDED}; batch-norm statistics come from 16 seeded pictures"])


def _settle(module: Any, seed: int) -> None:
    fill_weights(module, seed)
    calibrate(module, pictures(SAMPLES, seed + 1))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": pictures(SAMPLES, seed + 2)}


def _scaled() -> List[Tuple[int, int, int, int, int]]:
    """The stages at this width and depth; the first and last are not made deeper."""
    last = len(STAGES) - 1
    return [(expansion, _rounded(channels * WIDTH), units if index in (0, last) else math.ceil(units * DEPTH), stride, kernel)
            for index, (expansion, channels, units, stride, kernel) in enumerate(STAGES)]


def _rounded(channels: float) -> int:
    """To a multiple of 8, never down by more than a tenth."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _network() -> Any:
    from torch import nn

    class Padded(nn.Conv2d):
        """Pads by hand what a convolution of stride 2 cannot: less above and on the left, or nothing there."""

        def forward(self, rows: Any) -> Any:
            side, kernel, stride = int(rows.shape[-1]), self.kernel_size[0], self.stride[0]
            pad = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
            return super().forward(nn.functional.pad(rows, (pad // 2, pad - pad // 2) * 2))

    def norm(width: int) -> Any:
        return nn.BatchNorm2d(width, eps=EPSILON)

    def layer(before: int, after: int, kernel: int = 1, stride: int = 1, *, groups: int = 1) -> Any:
        if stride > 1:
            return Padded(before, after, kernel, stride, groups=groups, bias=False)
        return nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)

    class Separable(nn.Module):
        """The first stage's unit: depthwise, then to fewer channels."""

        def __init__(self, before: int, after: int, kernel: int) -> None:
            super().__init__()
            self.conv_dw, self.bn1 = layer(before, before, kernel, groups=before), norm(before)
            self.conv_pw, self.bn2 = layer(before, after), norm(after)
            self.act = nn.ReLU6()

        def forward(self, rows: Any) -> Any:
            return self.bn2(self.conv_pw(self.act(self.bn1(self.conv_dw(rows)))))

    class Inverted(nn.Module):
        """To more channels, depthwise, to fewer."""

        def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
            super().__init__()
            inner = before * expansion
            self.conv_pw, self.bn1 = layer(before, inner), norm(inner)
            self.conv_dw, self.bn2 = layer(inner, inner, kernel, stride, groups=inner), norm(inner)
            self.conv_pwl, self.bn3 = layer(inner, after), norm(after)
            self.act = nn.ReLU6()
            self.skip = stride == 1 and before == after

        def forward(self, rows: Any) -> Any:
            found = self.act(self.bn2(self.conv_dw(self.act(self.bn1(self.conv_pw(rows))))))
            found = self.bn3(self.conv_pwl(found))
            return found + rows if self.skip else found

    class Lite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_stem, self.bn1, self.act = layer(3, STEM, 3, 2), norm(STEM), nn.ReLU6()
            stages, before = [], STEM
            for expansion, after, units, stride, kernel in _scaled():
                made: List[Any] = []
                for index in range(units):
                    made.append(Separable(before, after, kernel) if expansion == 1 else
                                Inverted(before, after, expansion, kernel, stride if index == 0 else 1))
                    before = after
                stages.append(nn.Sequential(*made))
            self.blocks = nn.Sequential(*stages)
            self.conv_head, self.bn2 = layer(before, HEAD), norm(HEAD)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Linear(HEAD, CLASSES)

        def forward(self, rows: Any) -> Any:
            rows = self.blocks(self.act(self.bn1(self.conv_stem(rows))))
            return self.classifier(self.pool(self.act(self.bn2(self.conv_head(rows)))).flatten(1))

    return Lite()
