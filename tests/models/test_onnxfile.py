"""Inspecting: what is read from good files, and the one sentence for each kind of bad one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from orchestrator.errors import ModelError
from orchestrator.models.onnxfile import inspect
from tests.models.onnxbuild import SaveModel

F, I64 = TensorProto.FLOAT, TensorProto.INT64


def refused(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        inspect(path, shapes)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_inspect_tells_what_the_file_holds(external: Path) -> None:
    file = inspect(external)
    assert file.opsets == {"": 17}
    assert file.external == ("data/weights.bin",)
    assert file.size == external.stat().st_size + 48
    assert file.parameters == 15
    assert file.operators == {"Add": 1, "MatMul": 1}
    assert file.inputs[0].shape == ("n", 4)
    assert file.dims.batchable


def test_operators_inside_subgraphs_are_counted(save_model: SaveModel) -> None:
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "b", [],
                               [helper.make_tensor_value_info("b", F, [2])])
    path = save_model([helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
                      [("c", TensorProto.BOOL, []), ("x", F, [2])], [("y", F, [2])])
    assert inspect(path).operators == {"Neg": 2, "If": 1}


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"), (b"hello, this is no model\n" * 40, "not an ONNX model"),
    (b"<!DOCTYPE html><html>404</html>", "text"), (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
    (bytes(range(256)) * 10, "not an ONNX model"),
])
def test_files_that_are_no_onnx(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert message in refused(path).message


def test_every_truncation_is_refused_or_leaves_a_whole_graph(linear: Path) -> None:
    whole = linear.read_bytes()
    complete = 0
    for length in range(len(whole)):
        linear.write_bytes(whole[:length])
        try:
            complete += inspect(linear).outputs[0].name == "y"
        except ModelError:
            continue
    # Only a cut after the opset, whose entry is the last, could go unnoticed.
    assert complete == 0


def test_missing_file_names_the_nearest(linear: Path) -> None:
    assert "model.onnx" in refused(linear.with_name("modle.onnx")).hint


def test_other_formats_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"PK\3\4 something")
    assert "PyTorch" in refused(path).message


def test_missing_external_data_is_named(external: Path) -> None:
    (external.parent / "data" / "weights.bin").unlink()
    assert "data/weights.bin" in refused(external).message


def test_truncated_external_data_is_refused(external: Path) -> None:
    (external.parent / "data" / "weights.bin").write_bytes(b"\0" * 47)
    assert "48 needed" in refused(external).message


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "data/../../secret", "C:\\x", "..\\secret", ""])
def test_external_data_outside_the_folder_is_refused(save_model: SaveModel, location: str) -> None:
    def point_outside(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location

    path = save_model([helper.make_node("Add", ["x", "w"], ["y"])], [("x", F, ["N", 3])], [("y", F, ["N", 3])],
                      {"w": np.ones(3, np.float32)}, edit=point_outside)
    (path.parent.parent / "secret").write_bytes(b"\0" * 12)
    assert "not inside the model's folder" in refused(path).message


def test_external_data_by_a_link_to_outside_is_refused(external: Path, tmp_path: Path) -> None:
    data = external.parent / "data" / "weights.bin"
    shutil.move(data, tmp_path / "elsewhere.bin")
    data.symlink_to(tmp_path / "elsewhere.bin")
    assert "link to outside" in refused(external).message


def test_a_cache_of_linked_blobs_is_accepted(external: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for number, path in enumerate((external, external.parent / "data" / "weights.bin")):
        shutil.move(path, blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert inspect(external).external == ("data/weights.bin",)


def test_unknown_input_in_shapes_gets_the_nearest(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Relu", ["input"], ["y"])], [("input", F, ["N", "C"])], [("y", F, ["N", "C"])])
    assert "did you mean input?" in refused(path, {"imput": (1, 3)}).hint


@pytest.mark.parametrize(("shape", "message"), [
    ((1, 4, 4), "has 2 dimensions"), ((1, 5), "fixed at 4"), ((0, 4), "cannot be 0")])
def test_shapes_that_do_not_fit_are_refused(linear: Path, shape: tuple[int, ...], message: str) -> None:
    assert message in refused(linear, {"x": shape}).message


@pytest.mark.parametrize("kind", ["string", "sequence", "optional", "bfloat16", "int4", "complex64"])
def test_input_types_that_numpy_cannot_carry_are_refused(save_model: SaveModel, kind: str) -> None:
    def change(model: Any) -> None:
        proto = model.graph.input[0].type
        if kind == "sequence":
            proto.CopyFrom(helper.make_sequence_type_proto(helper.make_tensor_type_proto(F, [2])))
        elif kind == "optional":
            proto.CopyFrom(helper.make_optional_type_proto(helper.make_tensor_type_proto(F, [2])))
        else:
            proto.tensor_type.elem_type = TensorProto.DataType.Value(kind.upper())

    path = save_model([helper.make_node("Identity", ["x"], ["y"])], [("x", F, [2])], [("y", F, [2])], edit=change)
    assert "unsupported input type" in refused(path).message


def test_input_without_any_shape_needs_one(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Relu", ["x"], ["y"])], [("x", F, None)], [("y", F, None)])
    assert "--shape x=" in refused(path).hint
    assert inspect(path, {"x": (2, 3)}).dims.shapes == {"x": (2, 3)}


def test_weights_dictate_free_dimensions(save_model: SaveModel) -> None:
    path = save_model(
        [helper.make_node("Relu", ["a"], ["ra"]), helper.make_node("Conv", ["ra", "k"], ["c"], group=2),
         helper.make_node("MatMul", ["b", "w"], ["m"])],
        [("a", F, ["N", "p", "q", "r"]), ("b", F, [None, None])], [("c", F, None), ("m", F, None)],
        {"k": np.ones((4, 3, 1, 1), np.float32), "w": np.ones((7, 2), np.float32)})
    file = inspect(path)
    assert file.dims.shapes["a"] == (1, 6, 224, 224)
    assert file.dims.shapes["b"][1] == 7


def test_optional_inputs_with_defaults_are_left_alone_and_mentioned(save_model: SaveModel) -> None:
    path = save_model([helper.make_node("Add", ["x", "w"], ["y"])], [("x", F, ["N", 3]), ("w", F, [3])],
                      [("y", F, ["N", 3])], {"w": np.ones(3, np.float32)}, ir=8)
    file = inspect(path)
    assert [spec.name for spec in file.inputs] == ["x"]
    assert any("'w'" in note for note in file.notes)
