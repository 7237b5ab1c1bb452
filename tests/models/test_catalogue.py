"""The sizes of the built-in models against the literature. That networks and exports have them: tests/adapters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest

from orchestrator.models.catalogue import ZOO

FLOPS = 2  # where a source counts a multiplication and an addition as two


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a source says, and how exactly (a share)."""

    model: str
    source: str
    parameters: float | None = None
    multiply_adds: float | None = None
    within: float


PUBLISHED = (
    Published(model="resnet50", parameters=25_557_032, multiply_adds=4.089e9, within=1e-3,
              source="torchvision, ResNet50_Weights: num_params, GFLOPS (which are multiply-adds)"),
    Published(model="mobilenet_v2", parameters=3.4e6, multiply_adds=300e6, within=0.04,
              source="Sandler et al. 2018, table 4 (MobileNetV2)"),
    Published(model="resnet100", parameters=65.1320e6, multiply_adds=24.2115e9 / FLOPS, within=2e-3,
              source="Open Model Zoo, face-recognition-resnet100-arcface-onnx: MParams, GFLOPs"),
    Published(model="vgg19", parameters=144e6, within=5e-3, source="Simonyan and Zisserman 2015, table 2 (E)"),
    Published(model="vgg19", parameters=143_667_240, multiply_adds=19.632e9, within=1e-3,
              source="torchvision, VGG19_Weights; 138 M, as is sometimes read, is VGG-16"),
    Published(model="densenet201", parameters=20_013_928, multiply_adds=4.291e9, within=1e-3,
              source="torchvision, DenseNet201_Weights"),
    Published(model="efficientnet_b0", parameters=5.3e6, multiply_adds=0.39e9, within=0.02,
              source="Tan and Le 2019, table 2 (EfficientNet-B0)"),
    Published(model="efficientnet_lite4", parameters=13.0e6, within=2e-3,
              source="Google, efficientnet/lite README (its 2.64 B are of 300 × 300: tests/adapters)"),
    Published(model="shufflenet_v2", parameters=2.3e6, multiply_adds=146e6, within=0.015,
              source="Ma et al. 2018 (ShuffleNetV2 1.0×), megvii-model/ShuffleNet-Series"),
    Published(model="bert_squad", parameters=110e6, within=0.02, source="Devlin et al. 2018 (BERT-base); here without a pooler"),
    Published(model="fast_neural_style", parameters=1.679e6, multiply_adds=15.518e9 / FLOPS, within=6e-3,
              source="Open Model Zoo, fast-neural-style-mosaic-onnx, whose GFLOPs count element-wise operators as well"),
    Published(model="super_resolution", parameters=240e3 / 4, within=0.01,
              source="ONNX model zoo, super-resolution-10: a file of 240 kB"),
    Published(model="yolov4", multiply_adds=60.1e9 / FLOPS, within=1e-3,
              source="AlexeyAB/darknet README: 60.1 BFLOPs at 416 × 416"),
    Published(model="yolov4", parameters=64.4e6, within=1e-3, source="the weights that darknet publishes, 64.4 M numbers"),
    Published(model="minilm", parameters=22.7e6, within=0.01, source="model card of all-MiniLM-L6-v2; here without a pooler"),
)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.model}: {row.source[:30]}")
def test_sizes_are_those_of_the_literature(row: Published) -> None:
    model = ZOO[row.model]
    assert row.parameters is not None or row.multiply_adds is not None
    if row.parameters is not None:
        assert model.parameters == pytest.approx(row.parameters, rel=row.within)
    if row.multiply_adds is not None:
        assert model.multiply_adds == pytest.approx(row.multiply_adds, rel=row.within)


def test_every_model_with_a_literature_is_held_against_it() -> None:
    assert {row.model for row in PUBLISHED} == set(ZOO) - {"spam", "digits"}


def test_the_spam_network_is_the_sum_of_its_layers() -> None:
    widths = (200, 128, 64, 32, 16, 8, 1)
    products = [one * two for one, two in pairwise(widths)]
    assert ZOO["spam"].multiply_adds == sum(products)
    assert ZOO["spam"].parameters == sum(products) + sum(widths[1:])


def test_the_super_resolution_network_is_the_sum_of_its_layers() -> None:
    layers = ((64, 1, 5), (64, 64, 3), (32, 64, 3), (9, 32, 3))  # out, in, kernel: the tutorial's
    weights = [out * before * kernel**2 for out, before, kernel in layers]
    assert ZOO["super_resolution"].multiply_adds == 224 * 224 * sum(weights)
    assert ZOO["super_resolution"].parameters == sum(weights) + sum(layer[0] for layer in layers)


def test_bert_is_the_sum_of_its_layers() -> None:
    layers, width, inner, length = 12, 768, 3072, 256
    projections = layers * (4 * width**2 + 2 * width * inner)
    attention = layers * 2 * length**2 * width
    assert ZOO["bert_squad"].multiply_adds == projections * length + attention + 2 * width * length
