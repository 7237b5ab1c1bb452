"""Reading chains of dense layers: what ONNX computes, or the name of the first operator that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, helper, numpy_helper

from tests.adapters.densenets import model_of, small

chains: Any = import_module("adapters.dense_chain")
convert: Any = import_module("adapters.dense_convert")
base: Any = import_module("adapters.base")

BIASES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "one per feature": lambda width: (width,), "a row": lambda width: (1, width), "one for all": lambda _: (1,),
    "a scalar": lambda _: ()}


@st.composite
def networks(draw: st.DrawFn) -> Any:
    """A random chain; what must not change its meaning is drawn too: names, orders of operands, repeated operators."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    flat = draw(st.booleans())
    shape: list[int | str] = ["N", *((draw(st.integers(1, 3)), 2, 2) if flat else (draw(st.integers(1, 9)),))]
    width = int(np.prod([int(size) for size in shape[1:]]))
    nodes: list[NodeProto] = []
    weights: dict[str, Any] = {}
    value = "x"

    def put(op: str, inputs: list[str], **attributes: Any) -> None:
        nonlocal value
        nodes.append(helper.make_node(op, inputs, [f"v{len(nodes)}"], **attributes))
        value = nodes[-1].output[0]

    def weight(*size: int) -> str:
        weights[f"w{len(weights)}"] = (0.5 * rng.standard_normal(size)).astype(np.float32)
        return f"w{len(weights) - 1}"

    if flat:
        put("Flatten", [value], axis=draw(st.sampled_from([1, -3])))
    for _ in range(draw(st.integers(1, 4))):
        out = draw(st.integers(1, 9))
        bias = draw(st.sampled_from([None, *BIASES]))
        if draw(st.booleans()):
            turned = draw(st.booleans())
            factors = [value, weight(*((out, width) if turned else (width, out)))]
            put("Gemm", [*factors, *([] if bias is None else [weight(*BIASES[bias](out))])], transB=int(turned),
                alpha=draw(st.sampled_from([1.0, 0.5, -1.3])), beta=draw(st.sampled_from([1.0, 0.0, 2.5])))
        else:
            put("MatMul", [value, weight(width, out)])
            if bias is not None:
                operands = [value, weight(*BIASES[bias](out))]
                put("Add", draw(st.permutations(operands)))
        width = out
        for op in draw(st.lists(st.sampled_from(["Relu", "Sigmoid", "Tanh", "Identity", "Softmax", "Flatten"]), max_size=2)):
            put(op, [value], **({"axis": draw(st.sampled_from([1, -1]))} if op == "Softmax" else {}))
    nodes[-1].output[0] = "y"
    return model_of(nodes, weights, shape=shape, opset=draw(st.sampled_from([11, 13, 17, 21])))


def computed(chain: Any, x: Any) -> Any:
    """The chain in numpy, in double precision."""
    functions: dict[str, Any] = {
        "relu": lambda v: np.maximum(v, 0), "sigmoid": lambda v: 1 / (1 + np.exp(-v)), "tanh": np.tanh,
        "softmax": lambda v: np.exp(v - v.max(1, keepdims=True)) / np.exp(v - v.max(1, keepdims=True)).sum(1, keepdims=True),
        "flatten": lambda v: v.reshape(len(v), -1)}
    value = x.astype(np.float64)
    for layer in chain.layers:
        if layer.kind.value == "dense":
            value = value @ layer.weight.astype(np.float64) + (0 if layer.bias is None else layer.bias.astype(np.float64))
        else:
            value = functions[layer.kind.value](value)
    return value


def fed(model: Any) -> Any:
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return np.random.default_rng(1).standard_normal((5, *shape)).astype(np.float32)


def read(model: Any) -> Any:
    return chains.read_chain(convert.graph_of(model))


@given(networks())
@settings(max_examples=60, deadline=None)
def test_a_chain_computes_what_onnxruntime_does(model: Any) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = fed(model)
    expected = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(computed(read(model), x), expected, rtol=2e-4, atol=2e-4)


@given(networks(), st.data())
@settings(max_examples=30, deadline=None)
def test_the_first_operator_that_does_not_fit_is_named(model: Any, data: st.DataObject) -> None:
    strangers = ["Exp", "LeakyRelu"]
    places = sorted(data.draw(st.lists(st.integers(0, len(model.graph.node)), min_size=2, max_size=2)))
    for number, place in reversed(list(enumerate(places))):
        before = model.graph.node[place - 1].output[0] if place else "x"
        stranger = helper.make_node(strangers[number], [before], [f"s{number}"])
        for node in model.graph.node[place:]:
            node.input[:] = [f"s{number}" if name == before else name for name in node.input]
        model.graph.node.insert(place, stranger)
    with pytest.raises(base.Unsupported, match="operator Exp is not part of a plain chain of dense layers"):
        read(model)


@given(networks())
@settings(max_examples=20, deadline=None)
def test_what_is_kept_reads_back_as_the_same_chain(model: Any) -> None:
    chain = read(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.dense"
        chains.save(str(path), chain)
        again = chains.load(str(path))
    assert (again.input, again.output, again.rank) == (chain.input, chain.output, chain.rank)
    for one, other in zip(again.layers, chain.layers, strict=True):
        assert one.kind is other.kind
        for name in ("weight", "bias"):
            kept, was = getattr(one, name), getattr(other, name)
            assert (kept is None) == (was is None)
            assert was is None or (kept.dtype == np.float32 and np.array_equal(kept, was))


def test_a_constant_may_be_a_node_of_the_graph() -> None:
    model = small()
    kept = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], [kept.name], value=kept))
    np.testing.assert_array_equal(computed(read(model), fed(model)), computed(read(small()), fed(model)))


W = np.ones((4, 4), np.float32)
ONE = helper.make_node
REFUSED: dict[str, tuple[list[NodeProto], dict[str, Any], str]] = {
    "samples become features": ([ONE("Gemm", ["x", "w"], ["y"], transA=1)], {"w": W}, "Gemm .* transposes"),
    "weights come first": ([ONE("MatMul", ["w", "x"], ["y"])], {"w": W}, "MatMul .* no constant"),
    "a product with itself": ([ONE("MatMul", ["x", "x"], ["y"])], {}, "MatMul .* does more than"),
    "a vector of weights": ([ONE("MatMul", ["x", "w"], ["y"])], {"w": W[0]}, "MatMul .* 1 axes"),
    "a sum that follows no product": ([ONE("Add", ["x", "w"], ["y"])], {"w": W[0]}, "Add .* follows no matrix product"),
    "a sum of different samples": (
        [ONE("MatMul", ["x", "w"], ["m"]), ONE("Add", ["m", "w"], ["y"])], {"w": W}, r"Add .* shape \(4, 4\)"),
    "a sum that widens": (
        [ONE("MatMul", ["x", "v"], ["m"]), ONE("Add", ["m", "w"], ["y"])], {"v": W[:, :1], "w": W[0]}, r"Add .* shape \(4,\)"),
    "softmax along the samples": ([ONE("Softmax", ["x"], ["y"], axis=0)], {}, "Softmax .* along the samples"),
    "flattening the samples away": ([ONE("Flatten", ["x"], ["y"], axis=0)], {}, "Flatten .* another axis"),
    "a way around": ([ONE("Relu", ["x"], ["r"]), ONE("Tanh", ["x"], ["y"])], {}, "Tanh .* does more than"),
    "double precision inside": ([ONE("MatMul", ["x", "w"], ["y"])], {"w": W.astype(np.float64)}, "MatMul .* float64"),
    "a foreign operator": ([ONE("Gemm", ["x", "w"], ["y"], domain="made.up")], {"w": W}, "made.up::Gemm"),
    "an end that is not the end": ([ONE("Relu", ["x"], ["y"]), ONE("Tanh", ["y"], ["z"])], {}, "output y is not the end"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_a_sentence(what: str) -> None:
    nodes, weights, sentence = REFUSED[what]
    with pytest.raises(base.Unsupported, match=sentence):
        read(model_of(nodes, weights, shape=["N", 4]))


def test_a_product_over_more_axes_is_refused() -> None:
    with pytest.raises(base.Unsupported, match=r"MatMul .* 3 axes"):
        read(model_of([ONE("MatMul", ["x", "w"], ["y"])], {"w": W}, shape=["N", 2, 4]))


def test_two_inputs_are_refused_with_the_operator_that_joins_them() -> None:
    model = model_of([ONE("Add", ["x", "z"], ["y"])], {}, shape=["N", 4])
    model.graph.input.append(helper.make_tensor_value_info("z", 1, ["N", 4]))
    with pytest.raises(base.Unsupported, match="operator Add is not part of one, and this model has 2 and 1"):
        read(model)


def test_an_input_that_the_file_gives_a_value_is_no_input() -> None:
    model = small()
    given_too = model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info(given_too.name, given_too.data_type, list(given_too.dims)))
    assert len(read(model).layers) == len(read(small()).layers)
    assert numpy_helper.to_array(given_too).shape == (7, 12)
