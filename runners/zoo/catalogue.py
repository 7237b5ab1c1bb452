"""The built-in models by name, and how each becomes a Source."""
from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Optional

from .source import Recipe, Source
from .weights import load_into

# Name → module of this package. A module has `recipe(name)`, or `build(seed)` where the weights are a part of the model.
MODULES: Dict[str, str] = {
    "spam": "spam", "resnet50": "vision", "mobilenet_v2": "vision", "minilm": "minilm", "digits": "digits",
    "resnet100": "resnet100", "vgg19": "vision", "densenet201": "vision", "efficientnet_b0": "vision",
    "efficientnet_lite4": "efficientnet_lite4", "shufflenet_v2": "vision", "bert_squad": "bert_squad",
    "fast_neural_style": "fast_neural_style", "super_resolution": "super_resolution", "yolov4": "yolov4",
}


def build(name: str, seed: int, weights: Optional[str] = None) -> Source:
    """The model called `name`, with the weights of the file `weights`, else random ones of the seed.

    ValueError where there is no such model, it cannot be given weights, or those of the file are not its own.
    """
    module = _module(name)
    recipe: Optional[Recipe] = module.recipe(name) if hasattr(module, "recipe") else None
    if recipe is None:
        if weights:
            raise ValueError(f"{name} has trained weights of its own, it cannot be given others")
        built: Source = module.build(seed)
        return built
    network = recipe.network().eval()
    if weights:
        notes = load_into(network, weights, recipe.rename)
    else:
        recipe.settle(network, seed)
        notes = list(recipe.notes)
    return Source(name=name, module=network.float().eval(), inputs=recipe.inputs(seed), outputs=recipe.outputs, notes=notes)


def network(name: str) -> Any:
    """The bare architecture, for who wants to count; ValueError where the model's weights are a part of it."""
    module = _module(name)
    if not hasattr(module, "recipe"):
        raise ValueError(f"{name} is made with its weights")
    return module.recipe(name).network().eval()


def _module(name: str) -> Any:
    if name not in MODULES:
        raise ValueError(f"unknown built-in model {name!r}; there are {', '.join(sorted(MODULES))}")
    return import_module(f"{__package__}.{MODULES[name]}")
