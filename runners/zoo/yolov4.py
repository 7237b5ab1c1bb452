"""YOLOv4 (Bochkovskiy et al. 2020), whole: CSPDarknet53, SPP, PANet and three heads, for 3 × 416 × 416 and 80 classes.

After Darknet's yolov4.cfg. Outputs are what its three [yolo] layers get: 255 = 3 anchors × (4 + 1 + 80) numbers for each place of
grids of 52, 26 and 13; decoding boxes and suppressing doubles is no part of it.
"""
from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from .pictures import pictures
from .source import SEEDED, Recipe, calibrate, fill_weights

SIDE = 416
ROWS = 4  # distinct inputs; a reference is 0.9 million numbers
STAGES = ((128, 2), (256, 8), (512, 8), (1024, 4))
HEAD = 3 * (4 + 1 + 80)


def recipe(_name: str) -> Recipe:
    """The batch norms are calibrated on 4 seeded pictures."""
    return Recipe(network=_network, settle=_settle, inputs=_inputs, outputs=("grid52", "grid26", "grid13"),
                  notes=[f"{SEEDED}; batch-norm statistics come from 4 seeded pictures"])


def _settle(module: Any, seed: int) -> None:
    fill_weights(module, seed)
    calibrate(module, pictures(ROWS, seed + 1, side=SIDE))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": pictures(ROWS, seed + 2, side=SIDE)}


def _network() -> Any:
    import torch
    from torch import nn

    def unit(before: int, after: int, size: int, stride: int = 1, *, mish: bool = False) -> Any:
        return nn.Sequential(
            nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(after),
            nn.Mish() if mish else nn.LeakyReLU(0.1))

    def chain(before: int, widths: List[int]) -> Any:
        """Convolutions of 1 × 1 and 3 × 3 by turns."""
        through = [before, *widths]
        return nn.Sequential(*(
            unit(through[index], after, 1 if index % 2 == 0 else 3) for index, after in enumerate(widths)))

    def head(width: int) -> Any:
        return nn.Sequential(unit(width, 2 * width, 3), nn.Conv2d(2 * width, HEAD, 1))

    class Residual(nn.Module):
        def __init__(self, width: int, inner: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(unit(width, inner, 1, mish=True), unit(inner, width, 3, mish=True))

        def forward(self, rows: Any) -> Any:
            return rows + self.layers(rows)

    class Stage(nn.Module):
        """Halves the sides; residual units on one branch (cross-stage partial connection)."""

        def __init__(self, before: int, after: int, branch: int, inner: int, units: int) -> None:
            super().__init__()
            self.down = unit(before, after, 3, 2, mish=True)
            self.past = unit(after, branch, 1, mish=True)
            self.through = nn.Sequential(
                unit(after, branch, 1, mish=True), *(Residual(branch, inner) for _ in range(units)),
                unit(branch, branch, 1, mish=True))
            self.out = unit(2 * branch, after, 1, mish=True)

        def forward(self, rows: Any) -> Any:
            rows = self.down(rows)
            return self.out(torch.cat([self.through(rows), self.past(rows)], 1))

    class Yolo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = unit(3, 32, 3, mish=True)
            self.stage1 = Stage(32, 64, 64, 32, 1)
            before = 64
            for number, (width, units) in enumerate(STAGES, 2):
                setattr(self, f"stage{number}", Stage(before, width, width // 2, width // 2, units))
                before = width
            self.before_pool, self.after_pool = chain(1024, [512, 1024, 512]), chain(2048, [512, 1024, 512])
            self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (13, 9, 5))
            self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
            self.up26, self.side26, self.merge26 = unit(512, 256, 1), unit(512, 256, 1), chain(512, [256, 512, 256, 512, 256])
            self.up52, self.side52, self.merge52 = unit(256, 128, 1), unit(256, 128, 1), chain(256, [128, 256, 128, 256, 128])
            self.down26, self.join26 = unit(128, 256, 3, 2), chain(512, [256, 512, 256, 512, 256])
            self.down13, self.join13 = unit(256, 512, 3, 2), chain(1024, [512, 1024, 512, 1024, 512])
            self.head52, self.head26, self.head13 = head(128), head(256), head(512)

        def forward(self, rows: Any) -> Any:
            third = self.stage3(self.stage2(self.stage1(self.stem(rows))))
            fourth = self.stage4(third)
            deepest = self.before_pool(self.stage5(fourth))
            deepest = self.after_pool(torch.cat([*(pool(deepest) for pool in self.pools), deepest], 1))
            middle = self.merge26(torch.cat([self.side26(fourth), self.upsample(self.up26(deepest))], 1))
            finest = self.merge52(torch.cat([self.side52(third), self.upsample(self.up52(middle))], 1))
            middle = self.join26(torch.cat([self.down26(finest), middle], 1))
            deepest = self.join13(torch.cat([self.down13(middle), deepest], 1))
            return self.head52(finest), self.head26(middle), self.head13(deepest)

    return Yolo()
