"""TensorFlow: runs a SavedModel (`tensorflow_convert.py`), as a graph or compiled by XLA."""
# ruff: noqa: B905 - `strict` is of Python 3.10
from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List

import numpy as np
from layouts import Layout

from .base import Adapter as BaseAdapter
from .base import CacheUse, Converted, ConvertParams, Evidence, Feeds, Params, Unsupported

ARTIFACT_FORMATS = {".savedmodel": "savedmodel", ".tflite": "tflite"}
SIGNATURE = "serving_default"
NO_CACHE = "TensorFlow keeps nothing between processes: it optimises (and with XLA compiles) the graph anew each time"
# What moves or names numbers and computes none, in an executed graph.
MOVES = frozenset(("Const", "Placeholder", "_Arg", "_Retval", "Identity", "NoOp", "_Send", "_Recv", "_HostSend", "_HostRecv"))


def environment(params: Params) -> Dict[str, str]:
    """oneDNN is chosen while TensorFlow is imported; a GPU that may be there is not asked for."""
    return {"TF_ENABLE_ONEDNN_OPTS": "1" if params.settings.get("onednn", True) else "0", "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "2"}


class Adapter(BaseAdapter):
    """One function with a signature, called with tensors by name."""

    def __init__(self) -> None:
        # Not at the top: only this backend's runtime is timed as its import.
        self._tf: Any = importlib.import_module("tensorflow")

    def load(self, path: str, params: Params) -> None:
        """`path` is the SavedModel's folder; `layout.json` lies beside it."""
        self._accept(params)
        self._params, self._placed = params, {}
        self._xla = bool(params.settings.get("xla", False))
        self._set_threads()
        self._tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not params.settings.get("grappler", True)})
        self._layout = Layout.beside(path)
        self._model = self._tf.saved_model.load(path)  # the function lives only as long as its model
        given = self._model.signatures[SIGNATURE]
        self._inner = [one.inner for one in self._layout.inputs]
        self._outputs = self._layout.ordered(params.output_order)
        self._call = given
        if self._xla:
            names = self._inner

            def whole(*arrays: Any) -> Any:
                return given(**dict(zip(names, arrays)))

            declared = given.structured_input_signature[1]
            self._call = self._tf.function(whole, jit_compile=True, autograph=False,
                                           input_signature=[declared[name] for name in names])

    def _accept(self, params: Params) -> None:
        if params.precision != "fp32":
            raise Unsupported(f"TensorFlow runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("the TensorFlow of this environment is the CPU build")

    def compile(self, example: Feeds) -> bool:
        """The first call traces, optimises and (with XLA) compiles; XLA does so again for each other batch size."""
        self.predict(example)
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """A batch in one go, or sample after sample where the converted model takes one."""
        if self._layout.any_batch or not self._params.batchable:
            return self._once(inputs)
        rows = [self._once({name: array[i:i + 1] for name, array in inputs.items()})
                for i in range(len(inputs[self._layout.inputs[0].name]))]
        return [np.concatenate(parts) for parts in zip(*rows)]

    def _once(self, inputs: Feeds) -> List[np.ndarray]:
        constant = self._tf.constant
        tensors = [constant(array) for array in self._layout.feeds(inputs)]
        found = self._call(*tensors) if self._xla else self._call(**dict(zip(self._inner, tensors)))
        return [np.ascontiguousarray(found[one.inner].numpy().transpose(one.perm)).astype(one.dtype, copy=False)
                for one in self._outputs]

    def evidence(self) -> Evidence:
        """What TensorFlow says of its own settings."""
        tf = self._tf
        options = tf.config.optimizer.get_experimental_options()
        return Evidence(
            device="cpu", executed_on=["XLA CPU" if self._xla else "TensorFlow CPU"],
            batching="native" if self._layout.any_batch or not self._params.batchable else "loop",
            detail={"intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
                    "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
                    "onednn": _onednn(), "grappler": not options.get("disable_meta_optimizer", False),
                    "devices": [device.name for device in tf.config.list_physical_devices()],
                    **({"xla": self._xla_says()} if self._xla else {"xla": False})},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def final_evidence(self) -> Evidence:
        """With the operators of the graph that was executed, asked of one more inference."""
        said = self.evidence()
        if not self._xla:
            placed = self._executed()
            kinds = sorted({kind for found in placed.values() for kind in found})
            said.detail["operators"] = sum(sum(found.values()) for found in placed.values())
            said.detail["operator_types"] = {kind: sum(found.get(kind, 0) for found in placed.values()) for kind in kinds}
            said.detail["operator_devices"] = {device: sum(found.values()) for device, found in placed.items()}
            self._placed = placed
        return said

    def versions(self) -> Dict[str, str]:
        """TensorFlow under the name of the distribution, and numpy."""
        return {"tensorflow-cpu": self._tf.__version__, "tensorflow": self._tf.__version__, "numpy": np.__version__}

    def _set_threads(self) -> None:
        threading, wanted = self._tf.config.threading, int(self._params.settings.get("inter_op_threads") or 1)
        # Settled with the first operator of the process: members of an ensemble find them set.
        if threading.get_intra_op_parallelism_threads() != self._params.threads:
            threading.set_intra_op_parallelism_threads(self._params.threads)
        if threading.get_inter_op_parallelism_threads() != wanted:
            threading.set_inter_op_parallelism_threads(wanted)

    def _xla_says(self) -> bool:
        """The traced function's own mark; one that has it is compiled whole by XLA, or fails."""
        return bool(self._call.get_concrete_function().function_def.attr["_XlaMustCompile"].b)

    def _executed(self) -> Dict[str, Dict[str, int]]:
        """Device → operator → count, of one more inference."""
        context = importlib.import_module("tensorflow.python.eager.context").context()
        context.enable_graph_collection()
        context.clear_kernel_cache()  # graphs are collected while they are instantiated
        try:
            self.predict({name: array[:1] if self._params.batchable else array[0]
                          for name, array in self._params.samples.items()})
            graphs = list(context.export_run_metadata().partition_graphs)
        finally:
            context.disable_graph_collection()
        placed: Dict[str, Dict[str, int]] = {}
        for node in (node for graph in graphs for node in graph.node):
            if node.op not in MOVES:
                found = placed.setdefault(node.device.rpartition("device:")[2] or "unknown", {})
                found[node.op] = found.get(node.op, 0) + 1
        return placed


def _onednn() -> Any:
    """Whether this process uses oneDNN's kernels; None where this build does not tell."""
    try:
        return bool(importlib.import_module("tensorflow.python.util._pywrap_util_port").IsMklEnabled())
    except (ImportError, AttributeError):
        return None


def convert(path: str, out_dir: str, params: ConvertParams) -> Converted:
    """ONNX → SavedModel and .tflite, in the converter's environment."""
    # Found by the tools that onnx2tf starts as programs.
    from .tensorflow_convert import convert as run

    return run(path, out_dir, params)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
