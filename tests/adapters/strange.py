"""ONNX files unlike the built-in models: old and new opsets, control flow, odd types, odd shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
SAMPLES = 8
F, F16, F64, I64, BOOL = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL)
_RNG = np.random.default_rng(11)


@dataclass(frozen=True, kw_only=True)
class Strange:
    """A model and its samples: rows of a free batch, or whole inputs (S × the fixed shape)."""

    name: str
    model: onnx.ModelProto
    inputs: dict[str, Array]
    batchable: bool = True
    external: bool = False
    runs: bool = True  # whether ONNX Runtime is expected to run it

    def write(self, folder: Path) -> Path:
        """model.onnx, inputs.npz and reference.npz (ONNX Runtime's own answers), as a preparation leaves them."""
        folder.mkdir(parents=True)
        path = folder / "model.onnx"
        if self.external:
            onnx.save(self.model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        else:
            onnx.save(self.model, path)
        np.savez(folder / "inputs.npz", **self.inputs)  # type: ignore[arg-type]
        outputs = [output.name for output in self.model.graph.output]
        if self.runs:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            if self.batchable:
                found = session.run(outputs, self.inputs)
            else:
                each = [session.run(outputs, {n: np.asarray(v[i]) for n, v in self.inputs.items()}) for i in range(SAMPLES)]
                found = [np.stack([row[j] for row in each]) for j in range(len(outputs))]
            np.savez(folder / "reference.npz", **dict(zip(outputs, found, strict=True)))
        else:
            np.savez(folder / "reference.npz", **{name: np.zeros(SAMPLES) for name in outputs})  # type: ignore[arg-type]
        return path


def _value(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _model(
    nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto],
    weights: Mapping[str, Any], opset: int = 17, ir: int = 8,
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "strange", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("made.up", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def _normal(*shape: int, dtype: npt.DTypeLike = np.float32) -> Array:
    return _RNG.standard_normal(shape).astype(dtype)


def opset7() -> Strange:
    """A convolutional network as it was written in 2017: initializers are graph inputs too."""
    weights = {"k": _normal(4, 3, 3, 3), "s": _normal(4) ** 2, "b": _normal(4), "m": _normal(4), "v": _normal(4) ** 2 + 1,
               "w": _normal(64, 5), "c": _normal(5)}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", list("hsbmv"), ["n"]),
        helper.make_node("Relu", ["n"], ["r"]), helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w", "c"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    inputs = [_value("x", F, ["N", 3, 8, 8]), *(_value(n, F, v.shape) for n, v in weights.items())]
    return Strange(name="opset7", model=_model(nodes, inputs, [_value("y", F, ["N", 5])], weights, opset=7, ir=3),
                   inputs={"x": _normal(SAMPLES, 3, 8, 8)})


def branch() -> Strange:
    """If: the sum of the sample decides."""
    def body(name: str, kind: str) -> onnx.GraphProto:
        return helper.make_graph([helper.make_node(kind, ["x", "w"], [name])], name, [], [_value(name, F, [2, 4])])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0), helper.make_node("Greater", ["t", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=body("a", "Mul"), else_branch=body("b", "Add")),
    ]
    weights = {"w": _normal(4), "zero": np.float32(0)}
    inputs, outputs = [_value("x", F, [2, 4])], [_value("y", F, [2, 4])]
    return Strange(name="branch", batchable=False, model=_model(nodes, inputs, outputs, weights),
                   inputs={"x": _normal(SAMPLES, 2, 4)})


def loop() -> Strange:
    """Loop: three times x·w + x."""
    body = helper.make_graph(
        [helper.make_node("Mul", ["prev", "w"], ["p"]), helper.make_node("Add", ["p", "x"], ["next"]),
         helper.make_node("Identity", ["go"], ["go_on"])],
        "body", [_value("i", I64, []), _value("go", BOOL, []), _value("prev", F, ["N", 4])],
        [_value("go_on", BOOL, []), _value("next", F, ["N", 4])])
    nodes = [helper.make_node("Loop", ["trips", "true", "x"], ["y"], body=body)]
    weights = {"w": _normal(4), "trips": np.int64(3), "true": np.array([True])[0]}
    return Strange(name="loop", model=_model(nodes, [_value("x", F, ["N", 4])], [_value("y", F, ["N", 4])], weights),
                   inputs={"x": _normal(SAMPLES, 4)})


def embedding() -> Strange:
    """Indices into a table, the mean over the sequence (an axis that has to survive conversion), a projection."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("ReduceSum", ["e", "one"], ["s"], keepdims=0),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    weights = {"table": _normal(50, 16), "w": _normal(16, 3), "one": np.array([1])}
    return Strange(name="embedding", model=_model(nodes, [_value("ids", I64, ["N", 12])], [_value("y", F, ["N", 3])], weights),
                   inputs={"ids": _RNG.integers(0, 50, (SAMPLES, 12))})


def boolean() -> Strange:
    """A mask."""
    nodes = [helper.make_node("Where", ["m", "x", "zero"], ["k"]), helper.make_node("MatMul", ["k", "w"], ["y"])]
    inputs = [_value("x", F, ["N", 6]), _value("m", BOOL, ["N", 6])]
    weights = {"zero": np.float32(0), "w": _normal(6, 3)}
    return Strange(name="boolean", model=_model(nodes, inputs, [_value("y", F, ["N", 3])], weights),
                   inputs={"x": _normal(SAMPLES, 6), "m": _RNG.random((SAMPLES, 6)) > 0.5})


def half() -> Strange:
    """float16 throughout."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return Strange(name="half", model=_model(nodes, [_value("x", F16, ["N", 6])], [_value("y", F16, ["N", 3])],
                                             {"w": _normal(6, 3, dtype=np.float16)}),
                   inputs={"x": _normal(SAMPLES, 6, dtype=np.float16)})


def double() -> Strange:
    """float64 throughout."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])]
    return Strange(name="double", model=_model(nodes, [_value("x", F64, ["N", 6])], [_value("y", F64, ["N", 3])],
                                               {"w": _normal(6, 3, dtype=np.float64)}),
                   inputs={"x": _normal(SAMPLES, 6, dtype=np.float64)})


def several() -> Strange:
    """Two inputs; three outputs, two of them from one node, in an order of their own."""
    nodes = [
        helper.make_node("MatMul", ["b", "w"], ["p"]), helper.make_node("Add", ["a", "p"], ["s"]),
        helper.make_node("Split", ["s", "sizes"], ["first", "second"], axis=1), helper.make_node("Sigmoid", ["first"], ["third"]),
    ]
    return Strange(
        name="several", inputs={"a": _normal(SAMPLES, 6), "b": _normal(SAMPLES, 4)},
        model=_model(nodes, [_value("a", F, ["N", 6]), _value("b", F, ["N", 4])],
                     [_value("third", F, ["N", 2]), _value("second", F, ["N", 4]), _value("first", F, ["N", 2])],
                     {"w": _normal(4, 6), "sizes": np.array([2, 4])}))


def weightless() -> Strange:
    """No weights at all: what a format keeps beside the graph is empty."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Tanh", ["r"], ["y"])]
    return Strange(name="weightless", model=_model(nodes, [_value("x", F, ["N", 6])], [_value("y", F, ["N", 6])], {}),
                   inputs={"x": _normal(SAMPLES, 6)})


def slopes() -> Strange:
    """A slope for each channel, where the axes are of one size and a wrong one would fit too."""
    nodes = [helper.make_node("PRelu", ["x", "slope"], ["p"]), helper.make_node("PRelu", ["p", "one"], ["y"])]
    weights = {"slope": np.array([0.1, -0.5, 2.0], np.float32).reshape(3, 1, 1), "one": np.full(1, 0.3, np.float32)}
    return Strange(name="slopes", inputs={"x": _normal(SAMPLES, 3, 3, 3)},
                   model=_model(nodes, [_value("x", F, ["N", 3, 3, 3])], [_value("y", F, ["N", 3, 3, 3])], weights))


def spatial() -> Strange:
    """Height and width are free too."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["h"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]), helper.make_node("Flatten", ["g"], ["y"]),
    ]
    return Strange(name="spatial", model=_model(nodes, [_value("x", F, ["N", 3, "H", "W"])], [_value("y", F, ["N", 4])],
                                                {"k": _normal(4, 3, 3, 3)}),
                   inputs={"x": _normal(SAMPLES, 3, 10, 14)})


def scalar() -> Strange:
    """An input without axes, hence without a batch."""
    nodes = [helper.make_node("Mul", ["x", "s"], ["m"]), helper.make_node("MatMul", ["m", "w"], ["y"])]
    inputs = [_value("x", F, [2, 4]), _value("s", F, [])]
    return Strange(name="scalar", batchable=False, inputs={"x": _normal(SAMPLES, 2, 4), "s": _normal(SAMPLES)},
                   model=_model(nodes, inputs, [_value("y", F, [2, 3])], {"w": _normal(4, 3)}))


def fixed() -> Strange:
    """A batch of four and no other."""
    nodes = [helper.make_node("Conv", ["x", "k"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    inputs, outputs = [_value("x", F, [4, 3, 6, 6])], [_value("y", F, [4, 2, 4, 4])]
    return Strange(name="fixed", batchable=False, inputs={"x": _normal(SAMPLES, 4, 3, 6, 6)},
                   model=_model(nodes, inputs, outputs, {"k": _normal(2, 3, 3, 3)}))


def grouped() -> Strange:
    """One picture at a time through a convolution in two groups, in a file of late 2025 (IR 12, opset 25)."""
    nodes = [helper.make_node("Conv", ["x", "k"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("Conv", ["r", "g"], ["y"], group=2)]
    model = _model(nodes, [_value("x", F, [1, 3, 8, 8])], [_value("y", F, [1, 6, 4, 4])],
                   {"k": _normal(4, 3, 3, 3), "g": _normal(6, 2, 3, 3)}, opset=25, ir=12)
    return Strange(name="grouped", batchable=False, inputs={"x": _normal(SAMPLES, 1, 3, 8, 8)}, model=model)


def shaped() -> Strange:
    """What a shape is made of, from the second axis on."""
    nodes = [helper.make_node("Shape", ["x"], ["y"], start=1)]
    return Strange(name="shaped", batchable=False, inputs={"x": _normal(SAMPLES, 2, 3, 4)},
                   model=_model(nodes, [_value("x", F, [2, 3, 4])], [_value("y", I64, [2])], {}))


def external() -> Strange:
    """Weights beside the file."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return Strange(name="external", external=True, inputs={"x": _normal(SAMPLES, 64)},
                   model=_model(nodes, [_value("x", F, ["N", 64])], [_value("y", F, ["N", 32])], {"w": _normal(64, 32)}))


def opset21() -> Strange:
    """New operators and new versions of old ones: Gelu, reductions with axes as an input, a computed target of Reshape."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g"], ["n"]), helper.make_node("Gelu", ["n"], ["e"]),
        helper.make_node("Shape", ["e"], ["all"]), helper.make_node("Gather", ["all", "zero"], ["batch"]),
        helper.make_node("Concat", ["batch", "tail"], ["target"], axis=0), helper.make_node("Reshape", ["e", "target"], ["h"]),
        helper.make_node("ReduceMean", ["h", "axes"], ["y"], keepdims=0),
    ]
    weights = {"g": _normal(8), "zero": np.array([0]), "tail": np.array([-1, 2, 4]), "axes": np.array([2])}
    return Strange(name="opset21", model=_model(nodes, [_value("x", F, ["N", 6, 8])], [_value("y", F, ["N", 6, 4])], weights,
                                                opset=21, ir=10), inputs={"x": _normal(SAMPLES, 6, 8)})


def indices() -> Strange:
    """An integer output."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("TopK", ["h", "k"], ["best", "where"])]
    return Strange(name="indices", inputs={"x": _normal(SAMPLES, 6)},
                   model=_model(nodes, [_value("x", F, ["N", 6])], [_value("best", F, ["N", 3]), _value("where", I64, ["N", 3])],
                                {"w": _normal(6, 9), "k": np.array([3])}))


def unknown() -> Strange:
    """An operator of nobody's."""
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], domain="made.up")]
    return Strange(name="unknown", runs=False, inputs={"x": _normal(SAMPLES, 4)},
                   model=_model(nodes, [_value("x", F, ["N", 4])], [_value("y", F, ["N", 4])], {}))


ALL: tuple[Callable[[], Strange], ...] = (
    opset7, branch, loop, embedding, boolean, half, double, several, spatial, scalar, fixed, external, opset21, indices, unknown)
