"""Conversions through the real runner: kept by content, shared between backends, and told when a format is lacking."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.artifacts import Artifact, Artifacts
from orchestrator.backends import Registry, load_registry
from orchestrator.classify import Verdict
from orchestrator.isolation.base import Stop
from orchestrator.isolation.local import LocalIsolation
from orchestrator.model import IsolationKind, Limits, PreparedModel, ReadyEnv, Status, TensorSpec
from tests.config.madeup import write_backend

RUNNER = Path(__file__).parents[1] / "runners" / "run.py"
TEXT = "title: T\nlicence: MIT\nhomepage: https://example.org\ndistribution: t\nprecisions: [fp32]\ndevices: [cpu]\n"
ADAPTER = """
import os
from adapters.base import Converted, Unsupported

def convert(path, out_dir, params):
    if MODE == "unsupported":
        raise Unsupported("operator Foo is not known")
    if MODE == "missing":
        return "nowhere.one"
    os.mkdir(os.path.join(out_dir, "model.one"))
    for name in ("model.one/graph", "model.two"):
        with open(os.path.join(out_dir, name), "w") as file:
            file.write("graph")
    if MODE == "lacks":
        return Converted(file="model.one", lacking={"two": "it has no operator Foo"})
    return Converted(file="model.one", others={"two": "model.two"})
"""


def backends(folder: Path, mode: str) -> Registry:
    """`lender` converts to `one`, and `borrower` takes the other format of the same conversion."""
    mine = folder / "mine"
    lender = write_backend(mine / "lender", TEXT + "formats: [one]\nconverter: {output: one}\n")
    (lender / "converter").mkdir()
    borrower = write_backend(mine / "borrower", TEXT + "formats: [two]\nconverter: {of: lender, output: two}\n")
    (lender / "adapter.py").write_text(f"MODE = {mode!r}\n{ADAPTER}")
    (borrower / "adapter.py").write_text("raise ImportError('not asked for')\n")
    (folder / "images").mkdir()
    return load_registry(folder / "images", [mine])


@pytest.fixture
def model(tmp_path: Path) -> PreparedModel:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    for name in ("inputs", "reference"):
        np.savez(folder / f"{name}.npz", x=np.zeros((2, 3), np.float32))
    (folder / "model.onnx").write_bytes(b"")
    tensor = TensorSpec(name="x", dtype="float", shape=("batch", 3))
    return PreparedModel(
        name="m", folder=folder, sha256="0" * 64, inputs=(tensor,), outputs=(tensor,), batchable=True, fixed_batch=1,
        formats={"onnx": "model.onnx"}, samples=2, reference_source="none", tolerance={})


def converted(tmp_path: Path, model: PreparedModel, registry: Registry, *names: str) -> tuple[list[Any], list[str]]:
    """What each backend gets, in turn, and what was said meanwhile."""
    said: list[str] = []
    env = ReadyEnv(name="lender/converter", kind=IsolationKind.VENV, reference=sys.executable, digest="0" * 64,
                   installed="1" * 64, python=sys.executable, size_mb=None, packages=None, prepare_s=0.0, source="given")
    artifacts = Artifacts(
        cache=tmp_path / "cache", isolation=LocalIsolation(IsolationKind.VENV, RUNNER, lambda _envs, _say: {}),
        limits=Limits(cpus=(0,), memory_mb=2048), stop=Stop(), say=said.append)
    return [artifacts.get(registry[name], env, model, "fp32", {}) for name in names], said


def test_one_conversion_serves_the_lender_and_the_borrower(tmp_path: Path, model: PreparedModel) -> None:
    (one, two), said = converted(tmp_path, model, backends(tmp_path, "both"), "lender", "borrower")
    assert isinstance(one, Artifact)
    assert isinstance(two, Artifact)
    assert (one.format, one.file.name, one.cached) == ("one", "model.one", False)
    assert (two.format, two.file.name, two.cached) == ("two", "model.two", True)
    assert one.key == two.key
    assert (one.file / "graph").is_file()
    assert two.file.read_text() == "graph"
    assert [line.split()[0] for line in said] == ["converting", "converted"]


def test_a_format_that_could_not_be_made_is_unsupported_for_its_backend_alone(tmp_path: Path, model: PreparedModel) -> None:
    (two, one, again), said = converted(tmp_path, model, backends(tmp_path, "lacks"), "borrower", "lender", "borrower")
    assert isinstance(one, Artifact)
    assert isinstance(two, Verdict)
    assert (two.status, two.reason, two.phase) == (Status.UNSUPPORTED, "it has no operator Foo", "convert")
    assert again == two
    assert sum(line.startswith("converting") for line in said) == 1


def test_a_conversion_that_fails_is_tried_again(tmp_path: Path, model: PreparedModel) -> None:
    found, said = converted(tmp_path, model, backends(tmp_path, "missing"), "lender", "lender")
    for one in found:
        assert isinstance(one, Verdict)
        assert one.status is Status.CONVERT_FAILED
        assert "nowhere.one" in str(one.reason)
    assert sum(line.startswith("converting") for line in said) == 2
    assert not list((tmp_path / "cache").glob("artifacts/*"))


def test_what_a_converter_has_not_is_asked_once(tmp_path: Path, model: PreparedModel) -> None:
    (first, again), said = converted(tmp_path, model, backends(tmp_path, "unsupported"), "lender", "lender")
    assert isinstance(first, Verdict)
    assert (first.status, first.reason, first.phase) == (Status.UNSUPPORTED, "operator Foo is not known", "convert")
    assert again == first
    assert sum(line.startswith("converting") for line in said) == 1
