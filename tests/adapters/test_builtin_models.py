"""The built-in models: what an export is worth, and that every backend gives the reference's answers on it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from orchestrator.models.catalogue import ZOO
from orchestrator.models.onnxfile import inspect
from orchestrator.models.work import count_work
from tests.adapters.jobs import Prepared, Runner

pytestmark = pytest.mark.slow
MODELS = ("spam", "mobilenet_v2", "resnet50", "minilm")
# Exports of half a minute to three, up to 1.2 GB each.
LARGE = ("resnet100", "vgg19", "densenet201", "efficientnet_b0", "efficientnet_lite4", "shufflenet_v2", "bert_squad",
         "fast_neural_style", "super_resolution", "yolov4")
ALL = (*MODELS, *(pytest.param(name, marks=pytest.mark.heavy) for name in LARGE))
TOLERANCE = 1e-3


@cache
def exported(runner: Runner, name: str) -> Prepared:
    return runner.export(name)


def relative(got: Any, wanted: Any) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("name", ALL)
def test_outputs_depend_on_the_input(name: str, runner: Runner) -> None:
    for rows in exported(runner, name).arrays("reference").values():
        assert len(rows) >= 4
        assert rows.dtype == np.float64
        assert np.isfinite(rows).all()
        assert rows.std(axis=0).mean() > 0.05 * np.abs(rows).mean()
        # A backend that mixed up two samples would be found.
        assert min(relative(a, b) for i, a in enumerate(rows) for b in rows[:i]) > TOLERANCE


@pytest.mark.parametrize("name", ALL)
def test_the_onnx_file_gives_the_references_answers_at_any_batch(name: str, runner: Runner) -> None:
    model = exported(runner, name)
    session = onnxruntime.InferenceSession(str(model.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs, reference = model.arrays("inputs"), model.arrays("reference")
    for rows in (slice(0, 1), slice(3, 7)):
        outputs = session.run(model.output_order, {key: value[rows] for key, value in inputs.items()})
        for key, output in zip(model.output_order, outputs, strict=True):
            assert relative(output, reference[key][rows]) < 1e-4


@pytest.mark.parametrize("name", ALL)
def test_the_onnx_file_has_the_work_and_the_weights_that_the_catalogue_says(name: str, runner: Runner) -> None:
    file = inspect(exported(runner, name).folder / "model.onnx")
    assert count_work(file).multiply_adds == ZOO[name].multiply_adds
    # Norms are folded into convolutions, which leaves a bias of two vectors; constants of the graph are a few numbers.
    assert file.parameters == pytest.approx(ZOO[name].parameters, rel=0.01)
    about = json.loads((file.path.parent / "model.json").read_text())
    assert about["parameters"] == ZOO[name].parameters


@pytest.mark.parametrize("name", ["spam", "mobilenet_v2"])
def test_the_same_seed_gives_the_same_bytes(name: str, runner: Runner) -> None:
    def digests(model: Prepared) -> dict[str, str]:
        files = ("model.onnx", "inputs.npz", "reference.npz")
        return {file: hashlib.sha256((model.folder / file).read_bytes()).hexdigest() for file in files}

    assert digests(exported(runner, name)) == digests(runner.export(name))


def test_another_seed_gives_another_network(runner: Runner) -> None:
    one, other = exported(runner, "spam"), runner.export("spam", seed=2)
    assert relative(other.arrays("reference")["output"], one.arrays("reference")["output"]) > 0.1


@pytest.mark.parametrize(("name", "backend", "source"), [
    *product(MODELS, ["onnxruntime", "openvino", "torch"], ["given"]), *product(MODELS, ["ncnn"], ["converted"]),
    *product(["spam", "mobilenet_v2"], ["torch"], ["converted"]),
    *(pytest.param(name, "torch", "converted", marks=pytest.mark.heavy) for name in ("resnet50", "minilm")),
    *(pytest.param(name, backend, "given" if backend != "ncnn" else "converted", marks=pytest.mark.heavy)
      for name in LARGE for backend in ("onnxruntime", "openvino", "torch", "ncnn"))])
def test_every_backend_gives_the_references_answers(name: str, backend: str, source: str, runner: Runner) -> None:
    model = exported(runner, name)
    path: Path | None = model.folder / ("model.pt2" if backend == "torch" else "model.onnx")
    if source == "converted":
        path, result = runner.convert(backend, model)
        assert result["failure"] is None
    assert path is not None
    result = runner.trial(backend, model, path, batches=(1, 3))
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"]
    assert all(cell["fidelity"]["rel_l2"] < TOLERANCE for cell in result["cells"])
    assert result["evidence"]["fallback"] is None
    assert result["evidence"]["device"] == "cpu"
    assert backend in result["versions"]
