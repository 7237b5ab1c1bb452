"""LResNet100E-IR, the network of ArcFace (Deng et al. 2019): faces of 3 × 112 × 112 become embeddings of 512 numbers.

"Improved residual" units (BN–conv–BN–PReLU–conv–BN), 3-13-30-3 of them, a stem without pooling and a dense head. Layers are
named as in insightface's arcface_torch, so that its published weights fit.
"""
from __future__ import annotations

from typing import Any, Dict

import numpy as np

from .pictures import pictures
from .source import SAMPLES, SEEDED, Recipe, calibrate, fill_weights

SIDE = 112
STEM = 64
STAGES = ((3, 64), (13, 128), (30, 256), (3, 512))  # units, channels
EMBEDDING = 512
EPSILON = 1e-5


def recipe(_name: str) -> Recipe:
    """The batch norms are calibrated on 16 seeded pictures."""
    return Recipe(network=_network, settle=_settle, inputs=_inputs, outputs=("embedding",),
                  notes=[f"{SEEDED}; batch-norm statistics come from 16 seeded pictures"])


def _settle(module: Any, seed: int) -> None:
    fill_weights(module, seed)
    calibrate(module, pictures(SAMPLES, seed + 1, side=SIDE))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": pictures(SAMPLES, seed + 2, side=SIDE)}


def _network() -> Any:
    from torch import nn

    class Unit(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.bn1 = nn.BatchNorm2d(before, eps=EPSILON)
            self.conv1 = nn.Conv2d(before, width, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width, eps=EPSILON)
            self.prelu = nn.PReLU(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
            self.bn3 = nn.BatchNorm2d(width, eps=EPSILON)
            self.downsample = None if stride == 1 else nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width, eps=EPSILON))

        def forward(self, rows: Any) -> Any:
            kept = rows if self.downsample is None else self.downsample(rows)
            return self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(rows)))))) + kept

    class ResNet100(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, STEM, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(STEM, eps=EPSILON)
            self.prelu = nn.PReLU(STEM)
            before = STEM
            for stage, (units, width) in enumerate(STAGES, 1):
                widths = [before] + [width] * (units - 1)
                setattr(self, f"layer{stage}", nn.Sequential(
                    *(Unit(one, width, 2 if index == 0 else 1) for index, one in enumerate(widths))))
                before = width
            self.bn2 = nn.BatchNorm2d(before, eps=EPSILON)
            self.fc = nn.Linear(before * (SIDE // 16) ** 2, EMBEDDING)
            self.features = nn.BatchNorm1d(EMBEDDING, eps=EPSILON)

        def forward(self, rows: Any) -> Any:
            rows = self.prelu(self.bn1(self.conv1(rows)))
            rows = self.layer4(self.layer3(self.layer2(self.layer1(rows))))
            return self.features(self.fc(self.bn2(rows).flatten(1)))

    return ResNet100()
