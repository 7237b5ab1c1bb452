from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.backends import load_registry
from orchestrator.config.machine import Machine
from orchestrator.config.matrix import load_matrix
from orchestrator.config.starter import STARTER
from orchestrator.models.catalogue import ZOO
from orchestrator.plan.expand import expand

ROOT = Path(__file__).parents[2]
MODELS = tuple(ZOO)
SHIPPED = sorted([ROOT / "matrix.yaml", *(ROOT / "matrices").glob("*.yaml")])


def uncommented() -> str:
    """The starter with every example in a comment switched on."""
    return re.sub(r"^(\s*)# ((?:- |budget: |[a-z_]+: [{\[]).*)$", r"\1\2", STARTER, flags=re.MULTILINE)


@pytest.mark.parametrize("examples", ["off", "on"])
def test_the_starter_loads_as_it_stands_and_with_its_examples(tmp_path: Path, examples: str) -> None:
    for name in ("my-model.onnx", "samples.npz", "resnet50.pth"):
        (tmp_path / name).touch()
    path = tmp_path / "matrix.yaml"
    path.write_text(STARTER if examples == "off" else uncommented())
    registry = load_registry(ROOT / "images")
    config = load_matrix(path, registry, models=MODELS, machine=Machine(cpus=(0, 1), memory_mb=8000))
    expansion = expand(config, registry)
    assert expansion.cells
    assert not expansion.warnings
    if examples == "on":
        assert config.row("ort-basic").entry.settings["graph_optimization_level"] == "basic"
        assert config.limits.memory_mb == 4096
        assert len(expansion.excluded) == 3


def test_the_starter_names_every_key_of_the_format() -> None:
    schema = (ROOT / "orchestrator/config/matrix.schema.json").read_text()
    keys = yaml.safe_load(schema)["properties"]
    text = uncommented()
    assert [key for key in keys if not re.search(rf"^{key}:", text, re.MULTILINE) and key != "hosts"] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_matrices_load(path: Path) -> None:
    registry = load_registry(ROOT / "images")
    expansion = expand(load_matrix(path, registry, models=MODELS, machine=Machine(cpus=(0, 1), memory_mb=8000)), registry)
    assert expansion.cells
    if path.name == "precision.yaml":  # which leaves out what would be measured twice, and asks what not every backend can
        assert all(one.cell.label == "ort_dynamic" and one.cell.precision != "int8" for one in expansion.excluded)
        assert {(one.cell.backend, one.cell.precision) for one in expansion.unsupported} == {("onnxruntime", "bf16")}
        return
    assert not expansion.excluded
    assert not expansion.unsupported


def test_the_default_matrix_is_four_by_four() -> None:
    registry = load_registry(ROOT / "images")
    config = load_matrix(ROOT / "matrix.yaml", registry, models=MODELS, machine=Machine(cpus=(0, 1), memory_mb=8000))
    cells = expand(config, registry).cells
    assert len({cell.model for cell in cells}) == len({cell.backend for cell in cells}) == 4
    assert len(cells) == 32


def test_the_full_matrix_has_every_backend_on_every_model_where_it_can_run() -> None:
    registry = load_registry(ROOT / "images")
    config = load_matrix(ROOT / "matrices/full.yaml", registry, models=MODELS, machine=Machine(cpus=(0, 1), memory_mb=8000))
    cells = expand(config, registry).cells
    assert {(cell.backend, cell.model) for cell in cells} == {(backend, model) for backend in registry for model in MODELS}
    assert {cell.device for cell in cells} == {"cpu", "cuda"}
