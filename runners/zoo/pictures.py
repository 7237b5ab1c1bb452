"""Seeded pictures: what networks for images are calibrated on and fed."""
from __future__ import annotations

import numpy as np

GRIDS = {224: (1, 2, 4, 7, 14, 28, 56, 112), 112: (1, 2, 4, 7, 14, 28, 56), 416: (1, 2, 4, 13, 26, 52, 104, 208)}


def pictures(count: int, seed: int, *, side: int = 224, channels: int = 3) -> np.ndarray:
    """`count` × `channels` × `side` × `side`, normalised like ImageNet: blobs of several sizes with a colour cast of their own.

    Not white noise: global pooling averages that away, and the outputs of all samples would look alike.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros((count, channels, side, side))
    for cells in GRIDS[side]:
        blobs = rng.standard_normal((count, channels, cells, cells))
        image += np.kron(blobs, np.ones((side // cells, side // cells))) / np.sqrt(cells)
    image += 0.1 * rng.standard_normal(image.shape)
    return image.astype(np.float32)


def shades(count: int, seed: int, *, channels: int = 3) -> np.ndarray:
    """As `pictures` of 224 × 224, but in [0, 1]."""
    return np.clip(0.5 + 0.15 * pictures(count, seed, channels=channels), 0.0, 1.0).astype(np.float32)
