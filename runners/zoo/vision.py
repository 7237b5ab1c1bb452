"""Image classifiers whose architecture torchvision has; all for 3 × 224 × 224 and the 1,000 classes of ImageNet."""
from __future__ import annotations

import re
from typing import Any, Dict, Optional

import numpy as np
from torchvision_shim import declare_operators

from .pictures import pictures
from .source import SAMPLES, SEEDED, Recipe, calibrate, fill_weights

# Our name → torchvision's.
NETWORKS = {
    "resnet50": "resnet50", "mobilenet_v2": "mobilenet_v2", "vgg19": "vgg19", "densenet201": "densenet201",
    "efficientnet_b0": "efficientnet_b0", "shufflenet_v2": "shufflenet_v2_x1_0",
}
_OLD_DENSE = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")


def recipe(name: str) -> Recipe:
    """Of one of NETWORKS."""
    return Recipe(
        network=lambda: _network(NETWORKS[name]), settle=_settle, inputs=_inputs, outputs=("output",), rename=_rename,
        notes=[SEEDED if name == "vgg19" else f"{SEEDED}; batch-norm statistics come from 16 seeded pictures"])


def _network(name: str) -> Any:
    declare_operators()
    import torchvision.models

    return getattr(torchvision.models, name)(weights=None)


def _settle(module: Any, seed: int) -> None:
    fill_weights(module, seed)
    calibrate(module, pictures(SAMPLES, seed + 1))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    return {"input": pictures(SAMPLES, seed + 2)}


def _rename(name: str) -> Optional[str]:
    # torchvision's file of DenseNet weights is older than the names of its layers.
    old = _OLD_DENSE.match(name)
    return f"{old.group(1)}{old.group(2)}" if old else name
