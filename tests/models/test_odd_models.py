"""ONNX files of every odd kind: each is prepared, with the outputs it must have, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.errors import ModelError
from orchestrator.model import PreparedModel
from orchestrator.models.npzfile import read_npz
from orchestrator.models.prepare import prepare_file
from orchestrator.models.referee import ENGINE, EVALUATOR
from tests.models.onnxbuild import SaveModel

F, I64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node
RNG = np.random.default_rng(3)
TABLE = RNG.standard_normal((50, 4)).astype(np.float32)


def arrays(prepared: PreparedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs, reference = (read_npz(prepared.folder / f"{name}.npz", max_bytes=10**9) for name in ("inputs", "reference"))
    return inputs, reference


def noted(prepared: PreparedModel, part: str) -> bool:
    return any(part in note for note in prepared.notes)


def test_initializers_listed_as_inputs_are_not_fed(save_model: SaveModel, cache: Path) -> None:
    weight = RNG.standard_normal((4, 3)).astype(np.float32)
    path = save_model([node("MatMul", ["x", "w"], ["y"])], [("x", F, ["N", 4]), ("w", F, [4, 3])],
                      [("y", F, ["N", 3])], {"w": weight}, opset=7, ir=3)
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert [spec.name for spec in prepared.inputs] == ["x"]
    assert prepared.batchable
    np.testing.assert_allclose(reference["y"], given["x"].astype(np.float64) @ weight.astype(np.float64), rtol=1e-12)


def test_reference_of_a_newer_opset_than_the_engine_knows_still_comes_from_the_evaluator(
        save_model: SaveModel, cache: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    path = save_model([node("Relu", ["x"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["N", 4])], opset=newest,
                      ir=onnx.IR_VERSION)
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert prepared.reference_source == EVALUATOR
    assert prepared.batchable
    np.testing.assert_array_equal(reference["y"], np.maximum(given["x"], 0))


def test_if_takes_both_branches(save_model: SaveModel, cache: Path) -> None:
    branches = {
        key: helper.make_graph([node(op, ["x"], [f"{key}_out"])], key, [],
                               [helper.make_tensor_value_info(f"{key}_out", F, [2, 3])])
        for key, op in (("then_branch", "Neg"), ("else_branch", "Identity"))}
    path = save_model([node("If", ["flag"], ["y"], **branches)], [("flag", TensorProto.BOOL, []), ("x", F, [2, 3])],
                      [("y", F, [2, 3])])
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert not prepared.batchable
    assert set(given["flag"].tolist()) == {True, False}
    sign = np.where(given["flag"], -1.0, 1.0)[:, None, None]
    np.testing.assert_array_equal(reference["y"], given["x"] * sign)


def loop_body() -> Any:
    return helper.make_graph(
        [node("Identity", ["go_in"], ["go_out"]), node("Gather", ["table", "carried"], ["row"]),
         node("Identity", ["carried"], ["carried_out"])], "body",
        [helper.make_tensor_value_info("i", I64, []), helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
         helper.make_tensor_value_info("carried", I64, [2])],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
         helper.make_tensor_value_info("carried_out", I64, [2]), helper.make_tensor_value_info("row", F, [2, 4])])


def test_loop_trip_count_is_small_and_indices_inside_its_body_are_bounded(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Loop", ["trips", "go", "ids"], ["last", "rows"], body=loop_body())],
                      [("trips", I64, []), ("go", TensorProto.BOOL, []), ("ids", I64, [2])],
                      [("last", I64, [2]), ("rows", F, [None, 2, 4])], {"table": TABLE[:5]})
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert (given["trips"] == 3).all()
    assert given["go"].all()
    assert given["ids"].min() >= 0
    assert given["ids"].max() == 4
    assert reference["rows"].shape == (16, 3, 2, 4)


def test_scan_over_a_sequence(save_model: SaveModel, cache: Path) -> None:
    body = helper.make_graph(
        [node("Add", ["total", "item"], ["total_out"]), node("Identity", ["total_out"], ["running"])], "body",
        [helper.make_tensor_value_info("total", F, [3]), helper.make_tensor_value_info("item", F, [3])],
        [helper.make_tensor_value_info("total_out", F, [3]), helper.make_tensor_value_info("running", F, [3])])
    path = save_model([node("Scan", ["start", "x"], ["sum", "sums"], body=body, num_scan_inputs=1)],
                      [("start", F, [3]), ("x", F, ["time", 3])], [("sum", F, [3]), ("sums", F, ["time", 3])])
    prepared = prepare_file(path, cache_dir=cache, shapes={"x": (5, 3)})
    given, reference = arrays(prepared)
    np.testing.assert_allclose(reference["sum"], given["start"] + given["x"].sum(1, dtype=np.float64), rtol=1e-6)
    stored = onnx.load(str(prepared.folder / "model.onnx"))
    assert [d.dim_value for d in stored.graph.input[1].type.tensor_type.shape.dim] == [5, 3]
    assert [d.dim_value for d in stored.graph.output[1].type.tensor_type.shape.dim] == [5, 3]


def test_local_functions_are_followed(save_model: SaveModel, cache: Path) -> None:
    function = helper.make_function("own", "Embed", ["t", "i"], ["e"], [
        node("Cast", ["i"], ["whole"], to=I64), node("Gather", ["t", "whole"], ["e"])], [helper.make_opsetid("", 17)])
    path = save_model([node("Embed", ["table", "ids"], ["y"], domain="own")],
                      [("ids", TensorProto.INT32, ["N", 3])], [("y", F, ["N", 3, 4])], {"table": TABLE},
                      functions=[function], domains={"own": 1})
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert given["ids"].max() > 30
    np.testing.assert_array_equal(reference["y"], TABLE[given["ids"]])


@pytest.mark.parametrize("number", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.INT32,
                                    TensorProto.UINT8, TensorProto.UINT64])
def test_every_numeric_type_is_fed_as_itself(save_model: SaveModel, cache: Path, number: int) -> None:
    path = save_model([node("Cast", ["x"], ["y"], to=F)], [("x", number, ["N", 3])], [("y", F, ["N", 3])])
    given, reference = arrays(prepare_file(path, cache_dir=cache))
    assert given["x"].dtype == helper.tensor_dtype_to_np_dtype(number)
    np.testing.assert_allclose(reference["y"], given["x"].astype(np.float64), rtol=1e-6)


def test_half_precision_gets_a_tolerance_that_it_can_meet(save_model: SaveModel, cache: Path) -> None:
    half = TensorProto.FLOAT16
    weight = RNG.standard_normal((64, 8)).astype(np.float16)
    path = save_model([node("MatMul", ["x", "w"], ["y"])], [("x", half, ["N", 64])], [("y", half, ["N", 8])],
                      {"w": weight})
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert prepared.tolerance["rel_l2"] > 1e-3
    assert noted(prepared, "half-precision")
    np.testing.assert_allclose(reference["y"], given["x"].astype(np.float64) @ weight.astype(np.float64), rtol=1e-9)


def test_several_inputs_of_several_types_and_a_scalar(save_model: SaveModel, cache: Path) -> None:
    path = save_model(
        [node("Gather", ["table", "ids"], ["e"]), node("Where", ["keep", "e", "x"], ["t"]),
         node("Mul", ["t", "scale"], ["y"])],
        [("ids", I64, ["N", 2]), ("keep", TensorProto.BOOL, ["N", 2, 1]), ("x", F, ["N", 2, 4]), ("scale", F, [])],
        [("y", F, ["N", 2, 4])], {"table": TABLE})
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert not prepared.batchable  # a scalar has no batch
    assert prepared.inputs[0].shape == (1, 2)
    assert given["scale"].shape == (16,)
    wanted = np.where(given["keep"], TABLE[given["ids"]], given["x"]) * given["scale"][:, None, None, None]
    np.testing.assert_allclose(reference["y"], wanted, rtol=1e-6)


def test_names_with_slashes_spaces_and_unicode(save_model: SaveModel, cache: Path) -> None:
    names = ["a/b:0", "../up", "mit Leerzeichen", "入力", "file"]
    path = save_model([node("Sum", names, ["out/é"])], [(name, F, ["N", 2]) for name in names],
                      [("out/é", F, ["N", 2])], name="mödel file.onnx")
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert set(given) == set(names)
    np.testing.assert_allclose(reference["out/é"], sum(given[n].astype(np.float64) for n in names), rtol=1e-12)
    assert len({given[n].tobytes() for n in names}) == len(names)


def test_model_without_inputs(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Neg", ["w"], ["y"])], [], [("y", F, [3])], {"w": np.arange(3, dtype=np.float32)})
    prepared = prepare_file(path, cache_dir=cache)
    assert prepared.inputs == ()
    assert not prepared.batchable
    assert noted(prepared, "no inputs")
    np.testing.assert_array_equal(arrays(prepared)[1]["y"], [[0, -1, -2]])


def test_zero_size_dimension_is_prepared_with_a_warning(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Relu", ["x"], ["y"])], [("x", F, [0, 3])], [("y", F, [0, 3])])
    prepared = prepare_file(path, cache_dir=cache)
    assert arrays(prepared)[0]["x"].shape == (16, 0, 3)
    assert noted(prepared, "no elements")


def test_constant_output_is_called_worthless(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Mul", ["x", "zero"], ["t"]), node("Add", ["t", "one"], ["y"])], [("x", F, ["N", 3])],
                      [("y", F, ["N", 3])], {"zero": np.float32(0), "one": np.float32(1)})
    assert noted(prepare_file(path, cache_dir=cache), "hardly depend on the input")


def test_logarithm_gets_inputs_it_can_answer(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Sqrt", ["x"], ["y"])], [("x", F, ["N", 30])], [("y", F, ["N", 30])])
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert given["x"].min() >= 0
    assert np.isfinite(reference["y"]).all()
    assert noted(prepared, "[0, 1)")


def test_random_model_is_called_random(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("RandomNormalLike", ["x"], ["r"]), node("Add", ["x", "r"], ["y"])], [("x", F, ["N", 50])],
                      [("y", F, ["N", 50])])
    made, again = prepare_file(path, cache_dir=cache), prepare_file(path, cache_dir=cache)
    assert noted(made, "random")
    assert made.incomparable == again.incomparable == "the model is random"


def test_output_whose_shape_depends_on_values_keeps_one_sample(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("NonZero", ["x"], ["y"])], [("x", TensorProto.BOOL, [40])], [("y", I64, [1, None])])
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    assert prepared.samples == len(given["x"]) == 1
    np.testing.assert_array_equal(reference["y"][0][0], np.flatnonzero(given["x"][0]))


def test_division_by_an_integer_input_does_not_crash(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Div", ["a", "b"], ["y"])], [("a", I64, ["N", 9]), ("b", I64, ["N", 9])],
                      [("y", I64, ["N", 9])])
    given, _ = arrays(prepare_file(path, cache_dir=cache))
    assert given["b"].min() >= 1


def test_runtime_shapes_axes_and_k_get_values_that_run(save_model: SaveModel, cache: Path) -> None:
    path = save_model(
        [node("Reshape", ["x", "shape"], ["flat"]), node("ReduceSum", ["flat", "axes"], ["sum"], keepdims=0),
         node("TopK", ["x", "k"], ["top", "where"])],
        [("x", F, [3, 4]), ("shape", I64, [2]), ("axes", I64, [1]), ("k", I64, [1])],
        [("sum", F, [None]), ("top", F, [3, None])], opset=18)
    given, reference = arrays(prepare_file(path, cache_dir=cache))
    np.testing.assert_array_equal(given["shape"][0], [-1, 1])
    np.testing.assert_allclose(reference["sum"][:, 0], given["x"].astype(np.float64).sum((1, 2)))
    np.testing.assert_array_equal(reference["top"][..., 0], given["x"].max(2))


def test_vendor_operators_fall_back_to_the_engine_and_say_so(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", alpha=2.0)],
                      [("x", F, ["N", 4])], [("y", F, ["N", 3])], {"w": TABLE[:4, :3]}, domains={"com.microsoft": 1})
    prepared = prepare_file(path, cache_dir=cache)
    assert prepared.reference_source == ENGINE
    assert noted(prepared, "no float64 reference")


def test_quantised_model(save_model: SaveModel, cache: Path) -> None:
    q = {"s": np.float32(0.05), "z": np.int8(0)}
    path = save_model([node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])],
                      [("x", F, ["N", 64])], [("y", F, ["N", 64])], q)
    prepared = prepare_file(path, cache_dir=cache)
    assert prepared.batchable
    assert noted(prepared, "quantised")


def sparse(model: Any) -> None:
    values = numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 3], np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def test_sparse_initializer_is_prepared_or_refused_cleanly(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Mul", ["x", "w"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["N", 4])], edit=sparse)
    prepared = prepare_file(path, cache_dir=cache)
    given, reference = arrays(prepared)
    np.testing.assert_allclose(reference["y"], given["x"] * np.array([2.0, 0, 0, 3.0]))


@pytest.mark.parametrize(("broken", "message"), [
    (lambda m: m.graph.node[0].__setattr__("op_type", "Reluu"), "cannot be run"),
    (lambda m: m.graph.node[0].input.__setitem__(0, "nowhere"), "cannot be run"),
    (lambda m: m.graph.input.append(m.graph.input[0]), "2 inputs called 'x'"),
    (lambda m: m.graph.output.append(m.graph.output[0]), "2 outputs called 'y'"),
    (lambda m: m.graph.ClearField("output"), "no outputs"),
])
def test_broken_graphs_are_refused_in_one_sentence(save_model: SaveModel, cache: Path, broken: Any,
                                                   message: str) -> None:
    path = save_model([node("Relu", ["x"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["N", 4])], edit=broken)
    with pytest.raises(ModelError, match=message) as caught:
        prepare_file(path, cache_dir=cache)
    assert "\n" not in caught.value.message
    assert [p.name for p in cache.glob("*") if p.is_dir()] == []


def test_first_dimension_that_is_no_batch_is_found_out_by_running(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Softmax", ["x"], ["y"], axis=0)], [("x", F, ["N", 4])], [("y", F, ["N", 4])])
    prepared = prepare_file(path, cache_dir=cache)
    assert not prepared.batchable
    assert prepared.fixed_batch == 1
    assert noted(prepared, "rows influence each other")
    assert arrays(prepared)[0]["x"].shape == (16, 1, 4)


def test_free_first_dimension_that_only_takes_one_row(save_model: SaveModel, cache: Path) -> None:
    path = save_model([node("Reshape", ["x", "s"], ["y"])], [("x", F, ["N", 4])], [("y", F, ["M", 2, 2])],
                      {"s": np.array([1, 2, 2])})
    prepared = prepare_file(path, cache_dir=cache)
    assert not prepared.batchable
    assert noted(prepared, "a batch of 2 fails")
