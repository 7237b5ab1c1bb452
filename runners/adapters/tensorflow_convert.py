"""ONNX → SavedModel and .tflite with onnx2tf; runs in the converter's environment (onnx2tf, TensorFlow, ONNX Runtime).

One conversion serves both `tensorflow` and `litert`. Writes `model.savedmodel/`, `model.tflite` and `layout.json`, which says
what onnx2tf did with the axes: it turns NCHW into NHWC, as users of both get it.
"""
# ruff: noqa: B905 - `strict` is of Python 3.10
from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from layouts import Layout, Tensor, channels_first, channels_last, placed

from .base import Converted, ConvertParams, Feeds, Unsupported
from .tensorflow_graph import prepared

SAVED, LITE = "model.savedmodel", "model.tflite"
SIGNATURE = "serving_default"
SAME = 1e-3  # relative; a misplaced axis is off by far more


def convert(path: str, out_dir: str, params: ConvertParams) -> Converted:
    """The SavedModel is the main file; precision int8 makes a quantised .tflite alone.

    Raises:
        Unsupported: an operator or type that onnx2tf has not, with its name.
    """
    if params.precision not in ("fp32", "int8"):
        raise Unsupported(f"this conversion makes fp32 and int8, not {params.precision}")
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")
    graph, any_batch = prepared(path, params)
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        keras, layout = _converted(graph, path, scratch, params, any_batch)
        saved = os.path.join(scratch if params.precision == "int8" else out_dir, SAVED)
        _save(keras, layout, saved)
        layout.write(out_dir)
        if params.precision == "int8":
            _write(_lite(saved, _calibration(params, layout)), out_dir)
            return Converted(file=LITE)
    try:
        _write(_lite(saved, None), out_dir)
    except Unsupported as error:
        return Converted(file=SAVED, lacking={"tflite": error.reason})
    return Converted(file=SAVED, others={"tflite": LITE})


def _converted(graph: Any, original: str, scratch: str, params: ConvertParams, any_batch: bool) -> Tuple[Any, Layout]:
    """The Keras model and its layout; onnx2tf's quick way where that gives the model's own answers, else its careful one."""
    feeds = params.feeds()[0]
    wanted: Feeds = {}
    last = None
    for careful in (False, True):
        keras = _onnx2tf(graph, scratch, careful)
        # Only now: a model beyond onnx2tf is often beyond these as well.
        wanted = wanted or _answers(original, params.output_order, feeds)
        layout, worst = _layout(keras, feeds, wanted, params, any_batch)
        if worst <= SAME:
            return keras, layout
        last = keras, layout
        print(f"onnx2tf ({'careful' if careful else 'quick'}): outputs differ by {worst:.2g} from the model's")
    assert last is not None
    return last  # a trial compares its outputs with the reference and says so


def _answers(path: str, names: Sequence[str], feeds: Feeds) -> Feeds:
    """What the model gives for `feeds`: ONNX Runtime's answers, or those of ONNX's own evaluator.

    onnx2tf holds ONNX Runtime at a version that reads neither the newest files nor has every operator in every type.

    Raises:
        Unsupported: neither runs it, so that nothing says how its axes lie.
    """
    from onnxruntime import InferenceSession

    try:
        session = InferenceSession(path, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(list(names), feeds)))
    except Exception as error:
        from onnx.reference import ReferenceEvaluator

        print(f"ONNX Runtime does not run this model: {' '.join(str(error).split())[:200]}")
        try:
            return dict(zip(names, ReferenceEvaluator(path).run(list(names), feeds)))
        except Exception as beyond:
            words = " ".join(str(beyond).split())[:200]
            raise Unsupported("what onnx2tf made cannot be checked: neither the ONNX Runtime nor the ONNX beside it runs the "
                              f"model ({words})") from beyond


def _onnx2tf(graph: Any, scratch: str, careful: bool) -> Any:
    import onnx

    file = os.path.join(scratch, "model.onnx")
    onnx.save(graph, file)
    said = io.StringIO()
    onnx2tf = importlib.import_module("onnx2tf")
    # Where it guesses at axes by comparing operators' outputs, it fetches photographs to do so; conversions need no network.
    importlib.import_module("onnx2tf.onnx2tf").download_test_image_data = _images  # type: ignore[attr-defined]
    try:
        with contextlib.redirect_stdout(said):
            return onnx2tf.convert(
                input_onnx_file_path=file, output_folder_path=os.path.join(scratch, "onnx2tf"), not_use_onnxsim=True,
                disable_strict_mode=not careful, disable_model_save=True, verbosity="error")
    except (SystemExit, Exception) as error:
        raise Unsupported(_reason(said.getvalue(), graph, error)) from error
    finally:
        sys.stdout.write(said.getvalue())


def _images() -> np.ndarray:
    """In the shape, the type and the range of the photographs that onnx2tf compares with."""
    return np.random.default_rng(1).random((20, 128, 128, 3), np.float32)


def _reason(log: str, graph: Any, error: BaseException) -> str:
    """onnx2tf names the node and ends the process; the operator is looked up in the graph."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", log)
    named = re.search(r"onnx_op_name: (\S+)", plain)
    kinds = {node.name: node.op_type for node in graph.graph.node}
    # onnx2tf puts a prefix before names that begin with a slash.
    node = named.group(1) if named else ""
    kind = kinds.get(node) or kinds.get(node[node.find("/"):] if "/" in node else node)
    missing = re.search(r"ERROR: (.*not yet implemented.*|.*[Uu]nsupported.*)", plain)
    if missing:
        return f"onnx2tf: {missing.group(1)[:300]}"
    if kind:
        return f"onnx2tf cannot convert operator {kind} ({node})"
    words = " ".join(str(error).split())[:200] if not isinstance(error, SystemExit) else "it gave up without a reason"
    return f"onnx2tf cannot convert this model: {words}"


def _layout(keras: Any, feeds: Feeds, wanted: Feeds, params: ConvertParams, any_batch: bool) -> Tuple[Layout, float]:
    """How the axes lie: inputs by onnx2tf's rule, outputs by comparison; and the worst relative difference."""
    by_name = {_plain(tensor.name): tensor for tensor in keras.inputs}
    ordered = list(keras.inputs)
    inputs: List[Tensor] = []
    for index, name in enumerate(params.input_order):
        tensor = by_name.get(_plain(name), ordered[index])
        inputs.append(Tensor(name=name, inner=f"in{index}", perm=channels_last(feeds[name].ndim), dtype=tensor.dtype.name))
        ordered[index] = tensor
    found = keras([placed(feeds[one.name], one.perm, one.dtype) for one in _as_keras(keras, inputs, ordered)])
    arrays = [np.asarray(one) for one in (found if isinstance(found, (list, tuple)) else [found])]
    outputs: List[Tensor] = []
    worst = 0.0
    for index, name in enumerate(params.output_order):
        perm, off = _best(arrays[index], wanted[name])
        outputs.append(Tensor(name=name, inner=f"out{index}", perm=perm, dtype=wanted[name].dtype.name))
        worst = max(worst, off)
    return Layout(inputs=tuple(inputs), outputs=tuple(outputs), any_batch=any_batch), worst


def _plain(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z_]", "_", name.split(":")[0])


def _as_keras(keras: Any, inputs: Sequence[Tensor], ordered: Sequence[Any]) -> List[Tensor]:
    """The inputs in the Keras model's own order."""
    return [next(one for one, own in zip(inputs, ordered) if own is tensor) for tensor in keras.inputs]


def _best(found: np.ndarray, wanted: np.ndarray) -> Tuple[Tuple[int, ...], float]:
    """The order of axes that comes nearest, and how near."""
    best: Tuple[Tuple[int, ...], float] = (tuple(range(found.ndim)), float("inf"))
    for perm in (tuple(range(found.ndim)), channels_first(found.ndim)):
        moved = found.transpose(perm)
        if moved.shape != wanted.shape:
            continue
        off = float(np.linalg.norm(moved.astype(np.float64) - wanted) / (np.linalg.norm(wanted.astype(np.float64)) or 1.0))
        if not np.isfinite(off):
            off = 0.0 if np.array_equal(moved, wanted, equal_nan=True) else float("inf")
        if off < best[1]:
            best = perm, off
    return best


def _tensorflow() -> Any:
    return importlib.import_module("tensorflow")


def _save(keras: Any, layout: Layout, folder: str) -> None:
    """A SavedModel with one signature, whose inputs and outputs have the layout's names.

    Variables stay variables, as onnx2tf leaves them: where they are constants, TensorFlow with oneDNN makes layer
    normalisations into `_MklLayerNorm`, and MiniLM's answers are then 3 % off (2.19 and 2.21).
    """
    tf = _tensorflow()
    by_name = {_plain(tensor.name): tensor for tensor in keras.inputs}
    ordered = [by_name.get(_plain(one.name), keras.inputs[index]) for index, one in enumerate(layout.inputs)]
    place = [next(i for i, own in enumerate(ordered) if own is tensor) for tensor in keras.inputs]
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=one.inner) for one, tensor in zip(layout.inputs, ordered)]

    @tf.function(input_signature=specs, autograph=False)
    def served(*arrays: Any) -> Dict[str, Any]:
        found = keras([arrays[i] for i in place])
        found = list(found) if isinstance(found, (list, tuple)) else [found]
        return {one.inner: tf.identity(value, name=one.inner) for one, value in zip(layout.outputs, found)}

    traced = served.get_concrete_function()
    holder = tf.Module()
    # Not the Keras model itself, which would be traced once more per layer; a grouped convolution's are in none of its layers.
    holder.kept = [*keras.variables, *traced.graph.variables]
    holder.served = served
    tf.saved_model.save(holder, folder, signatures={SIGNATURE: traced})


def _lite(saved: str, samples: Any) -> bytes:
    """The .tflite of a SavedModel, of LiteRT's own operators only; quantised where there are samples to measure ranges on."""
    tf = _tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return bytes(converter.convert())
    except Exception as error:
        lacking = re.search(r"(TF Select|Custom) ops: ([^\n]+)", str(error))
        if lacking:
            raise Unsupported(f"LiteRT has no operator {lacking.group(2).strip()[:200]} of its own") from error
        raise Unsupported(f"LiteRT's converter: {' '.join(str(error).split())[-300:]}") from error


def _calibration(params: ConvertParams, layout: Layout) -> Any:
    def samples() -> Iterator[Dict[str, np.ndarray]]:
        for feeds in params.feeds():
            yield {one.inner: array for one, array in zip(layout.inputs, layout.feeds(feeds))}

    return samples


def _write(content: bytes, out_dir: str) -> None:
    with open(os.path.join(out_dir, LITE), "wb") as file:
        file.write(content)
