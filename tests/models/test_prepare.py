"""Preparing: the folder's content, the cache, the user's own inputs, external data, very large files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from orchestrator.errors import ModelError, ResultError
from orchestrator.models.npzfile import read_npz
from orchestrator.models.prepare import prepare_file
from orchestrator.models.referee import ENGINE
from orchestrator.models.store import load_prepared
from tests.models.onnxbuild import SaveModel

F, I64 = TensorProto.FLOAT, TensorProto.INT64


def content(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def arrays(path: Path) -> dict[str, Any]:
    return read_npz(path, max_bytes=10**9)


def test_the_folder_is_complete_and_described(linear: Path, cache: Path) -> None:
    prepared = prepare_file(linear, cache_dir=cache, name="mine", seed=3)
    about = json.loads((prepared.folder / "model.json").read_text())
    assert sorted(p.name for p in prepared.folder.iterdir()) == ["inputs.npz", "model.json", "model.onnx", "reference.npz"]
    assert about["schema"] == "infermatrix.model/1"
    assert about["parameters"] == 12
    assert (prepared.folder / "model.onnx").read_bytes() == linear.read_bytes()
    assert load_prepared(prepared.folder) == prepared
    assert (prepared.name, prepared.samples, prepared.batchable, prepared.fixed_batch) == ("mine", 16, True, 1)
    assert prepared.inputs[0].shape == ("batch", 4)
    assert prepared.outputs[0].shape == ("batch", 3)


def test_the_second_call_does_no_work(linear: Path, cache: Path) -> None:
    told: list[str] = []
    first = prepare_file(linear, cache_dir=cache, progress=told.append)
    before = content(first.folder)
    assert told
    told.clear()
    second = prepare_file(linear, cache_dir=cache, progress=told.append, tolerance={"rel_l2": 0.5})
    assert told == []
    assert content(second.folder) == before
    assert second.tolerance == {**first.tolerance, "rel_l2": 0.5}


def test_equal_seeds_give_equal_files_and_others_do_not(linear: Path, tmp_path: Path) -> None:
    one = prepare_file(linear, cache_dir=tmp_path / "a", seed=1)
    same = prepare_file(linear, cache_dir=tmp_path / "b", seed=1)
    other = prepare_file(linear, cache_dir=tmp_path / "a", seed=2)
    for name in ("inputs.npz", "reference.npz"):
        assert (one.folder / name).read_bytes() == (same.folder / name).read_bytes()
        assert (one.folder / name).read_bytes() != (other.folder / name).read_bytes()
    assert one.folder.name == same.folder.name
    assert one.folder != other.folder


def test_a_changed_file_or_shape_is_another_model(save_model: SaveModel, cache: Path) -> None:
    def build(weight: float) -> Path:
        return save_model([helper.make_node("Mul", ["x", "w"], ["y"])], [("x", F, ["N", "M"])], [("y", F, ["N", "M"])],
                          {"w": np.float32(weight)})

    folders = {prepare_file(build(2), cache_dir=cache).folder, prepare_file(build(3), cache_dir=cache).folder,
               prepare_file(build(3), cache_dir=cache, shapes={"x": (1, 5)}).folder}
    assert len(folders) == 3


@pytest.mark.parametrize("victim", ["model.onnx", "reference.npz", "model.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_damage_is_noticed_and_repaired(linear: Path, cache: Path, victim: str, how: str) -> None:
    prepared = prepare_file(linear, cache_dir=cache)
    path = prepared.folder / victim
    whole = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(whole[:-20])
    with pytest.raises(ResultError):
        load_prepared(prepared.folder)
    assert prepare_file(linear, cache_dir=cache) == prepared
    assert path.read_bytes() == whole


def test_a_manifest_that_points_outside_is_refused(linear: Path, cache: Path) -> None:
    prepared = prepare_file(linear, cache_dir=cache)
    manifest = prepared.folder / "model.json"
    about = json.loads(manifest.read_text())
    about["files"]["../../x"] = about["files"].pop("model.onnx")
    manifest.write_text(json.dumps(about))
    with pytest.raises(ResultError, match="not a path inside"):
        load_prepared(prepared.folder)


def test_a_failure_leaves_nothing_behind(save_model: SaveModel, cache: Path) -> None:
    path = save_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["N", 3])],
                      {"w": np.ones((5, 3), np.float32)})
    with pytest.raises(ModelError):
        prepare_file(path, cache_dir=cache)
    assert list(cache.glob("**/*.onnx")) == []


def test_leftovers_of_dead_processes_are_removed(linear: Path, cache: Path) -> None:
    cache.mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    dead, alive = cache / f".new-{gone.pid}-abc", cache / ".new-1-abc"
    dead.mkdir()
    alive.mkdir()
    prepare_file(linear, cache_dir=cache)
    assert not dead.exists()
    assert alive.exists()


def test_free_dimensions_are_fixed_in_the_stored_file_and_listed(save_model: SaveModel, cache: Path) -> None:
    path = save_model([helper.make_node("Relu", ["x"], ["y"])], [("x", F, ["batch", "seq_len", 4])],
                      [("y", F, ["batch", "seq_len", 4])])
    prepared = prepare_file(path, cache_dir=cache)
    stored = onnx.load(str(prepared.folder / "model.onnx"))
    for value in (stored.graph.input[0], stored.graph.output[0]):
        assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == ["batch", 128, 4]
    assert any("seq_len (dimension 1) = 128" in note for note in prepared.notes)
    assert prepared.outputs[0].shape == ("batch", 128, 4)


def test_external_data_travels_under_its_own_name(external: Path, cache: Path) -> None:
    prepared = prepare_file(external, cache_dir=cache)
    assert (prepared.folder / "data" / "weights.bin").read_bytes() == (external.parent / "data" / "weights.bin").read_bytes()
    before = prepared.sha256
    (external.parent / "data" / "weights.bin").write_bytes(np.full((4, 3), 2, np.float32).tobytes())
    changed = prepare_file(external, cache_dir=cache)
    assert changed.folder != prepared.folder
    assert changed.sha256 != before


@pytest.mark.parametrize("name", ["model.onnx", "inputs.npz", "work"])
def test_external_data_with_a_name_of_ours_does_not_collide(external: Path, cache: Path, name: str) -> None:
    model = onnx.load(str(external), load_external_data=False)
    model.graph.initializer[0].external_data[0].value = name
    shutil.copy(external.parent / "data" / "weights.bin", external.parent / name)
    path = external.with_name("network.onnx")
    path.write_bytes(model.SerializeToString())
    prepared = prepare_file(path, cache_dir=cache)
    given = arrays(prepared.folder / "inputs.npz")["x"]
    np.testing.assert_allclose(arrays(prepared.folder / "reference.npz")["y"],
                               given.astype(np.float64).sum(1, keepdims=True) + np.arange(3), rtol=1e-12)


def test_own_inputs_are_used_as_they_are(linear: Path, cache: Path, tmp_path: Path) -> None:
    rows = np.arange(20, dtype=np.float32).reshape(5, 4)
    np.savez(tmp_path / "in.npz", x=rows)
    prepared = prepare_file(linear, cache_dir=cache, inputs=tmp_path / "in.npz")
    assert prepared.samples == 5
    np.testing.assert_array_equal(arrays(prepared.folder / "inputs.npz")["x"], rows)


def test_one_own_sample_leaves_the_batch_unverified(linear: Path, cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones(4, np.float32))
    prepared = prepare_file(linear, cache_dir=cache, inputs=tmp_path / "in.npy")
    assert prepared.batchable
    assert any("only one sample" in note for note in prepared.notes)


def test_own_inputs_decide_free_dimensions_and_what_is_a_sample(save_model: SaveModel, cache: Path,
                                                               tmp_path: Path) -> None:
    path = save_model([helper.make_node("Softmax", ["x"], ["y"], axis=0)], [("x", F, [None, None])],
                      [("y", F, [None, None])])
    np.savez(tmp_path / "in.npz", x=np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32))
    prepared = prepare_file(path, cache_dir=cache, inputs=tmp_path / "in.npz")
    # Rows influence each other, so the whole array is one sample.
    assert (prepared.batchable, prepared.samples, prepared.fixed_batch) == (False, 1, 1)
    assert prepared.inputs[0].shape == (7, 3)


def test_own_inputs_tell_the_rank_of_an_input_without_shape(save_model: SaveModel, cache: Path,
                                                           tmp_path: Path) -> None:
    path = save_model([helper.make_node("Relu", ["x"], ["y"])], [("x", F, None)], [("y", F, None)])
    np.save(tmp_path / "in.npy", np.ones((2, 3), np.float32))
    prepared = prepare_file(path, cache_dir=cache, inputs=tmp_path / "in.npy")
    assert arrays(prepared.folder / "reference.npz")["y"].size == 6


@pytest.mark.slow
def test_more_than_two_gigabytes_of_external_data(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "huge"
    folder.mkdir()
    rows, columns = 560_000, 1024  # 2.3 GB of float32, nearly all of it holes in the file
    with (folder / "weights.bin").open("wb") as stream:
        stream.truncate(rows * columns * 4)
        stream.write(np.arange(columns, dtype=np.float32).tobytes())
        stream.seek((rows - 1) * columns * 4)
        stream.write(np.ones(columns, np.float32).tobytes())
    weight = TensorProto(name="w", data_type=F, dims=[rows, columns], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(rows * columns * 4))):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "ids"], ["e"]), helper.make_node("Cast", ["ids"], ["f"], to=F),
         helper.make_node("Unsqueeze", ["f", "two"], ["g"]), helper.make_node("Add", ["e", "g"], ["y"])], "g",
        [helper.make_tensor_value_info("ids", I64, ["N", 1])], [helper.make_tensor_value_info("y", F, ["N", 1, columns])],
        [weight, onnx.numpy_helper.from_array(np.array([2]), "two")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    try:
        prepared = prepare_file(folder / "model.onnx", cache_dir=cache)
        assert prepared.reference_source == ENGINE
        assert prepared.batchable
        assert arrays(prepared.folder / "inputs.npz")["ids"].max() < rows
        assert (prepared.folder / "weights.bin").stat().st_ino == (folder / "weights.bin").stat().st_ino  # linked
        told: list[str] = []
        assert prepare_file(folder / "model.onnx", cache_dir=cache, progress=told.append) == prepared
        assert told == []
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(cache, ignore_errors=True)
