"""A small convolutional network trained here on scikit-learn's handwritten digits; the only built-in model that can be wrong
or right about something, hence the one with a labelled data set."""
from __future__ import annotations

import gzip
import importlib.util
import os
from typing import Any, Tuple

import numpy as np

from .source import SAMPLES, Labelled, Source

INPUT, OUTPUT = "image", "logits"
FILE = ("datasets", "data", "digits.csv.gz")
TEST = 540  # of 1,797 images: held out from training, and the labelled data set
EPOCHS = 25
BATCH = 64
RATE = 2e-3


def build(seed: int) -> Source:
    """Trains for a few seconds. One seed gives one network on one machine and thread: the order of sums is fixed."""
    images, labels = _data()
    order = np.random.default_rng(0).permutation(len(images))  # the split is the data set's, not the seed's
    test, train = order[:TEST], order[TEST:]
    module = _trained(images[train], labels[train], seed)
    return Source(
        name="digits", module=module, inputs={INPUT: images[train[:SAMPLES]]}, outputs=(OUTPUT,),
        labelled=Labelled(inputs={INPUT: images[test]}, labels=labels[test]),
        notes=[f"trained on {len(train)} of scikit-learn's digits; the other {TEST} are the labelled data set"])


def _data() -> Tuple[np.ndarray, np.ndarray]:
    """(N × 1 × 8 × 8 in [0, 1], N): read from the package's own file, because importing the package needs SciPy."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the scikit-learn package, which carries the digits, is not installed")
    with gzip.open(os.path.join(spec.submodule_search_locations[0], *FILE), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",")
    images = (table[:, :64] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return images, table[:, 64].astype(np.int64)


def _trained(images: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    import torch

    layers = torch.nn
    module = layers.Sequential(
        layers.Conv2d(1, 16, 3, padding=1), layers.ReLU(), layers.Conv2d(16, 32, 3, padding=1), layers.ReLU(),
        layers.MaxPool2d(2), layers.Flatten(), layers.Linear(512, 64), layers.ReLU(), layers.Linear(64, 10))
    from .source import fill_weights

    fill_weights(module, seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # partial sums of several threads would be added in another order on another machine
    try:
        _fit(module, torch.from_numpy(images), torch.from_numpy(labels), np.random.default_rng(seed + 1))
    finally:
        torch.set_num_threads(threads)
    return module.eval()


def _fit(module: Any, images: Any, labels: Any, random: np.random.Generator) -> None:
    import torch

    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    loss = torch.nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        order = torch.from_numpy(random.permutation(len(images)))
        for rows in order.split(BATCH):
            optimiser.zero_grad()
            loss(module(images[rows]), labels[rows]).backward()
            optimiser.step()
