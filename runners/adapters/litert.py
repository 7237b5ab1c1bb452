"""LiteRT (once TensorFlow Lite): runs the .tflite that the converter of `tensorflow` made, one interpreter per batch size."""
# ruff: noqa: B905 - `strict` is of Python 3.10
from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from layouts import Layout

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported

SIGNATURE = "serving_default"
PRECISIONS = ("fp32", "int8")
NARROW = ("int8", "uint8", "int16")
NO_CACHE = "LiteRT's interpreter keeps nothing between processes: it packs the weights anew each time"


class Sized:
    """An interpreter whose tensors are laid out for one batch size, and where its inputs and outputs lie."""

    def __init__(self, interpreter: Any, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.interpreter, self.inputs, self.outputs = interpreter, inputs, outputs

    def __call__(self, arrays: Sequence[np.ndarray]) -> List[np.ndarray]:
        for index, array in zip(self.inputs, arrays):
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


class Adapter(BaseAdapter):
    """Interpreters are made while the model is compiled, for all batch sizes that are known by then."""

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("ai_edge_litert.interpreter")

    def load(self, path: str, params: Params) -> None:
        """`layout.json` lies beside the file, and the file says which tensors are its inputs and outputs."""
        if params.precision not in PRECISIONS:
            raise Unsupported(f"LiteRT runs {' and '.join(PRECISIONS)} here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("LiteRT runs on the CPU here")
        self._path, self._params = path, params
        self._layout = Layout.beside(path)
        self._outputs = self._layout.ordered(params.output_order)
        # An interpreter of its own, for one whose signature was asked for cannot lay out its tensors anew.
        signature = self._module.Interpreter(
            model_path=path, experimental_op_resolver_type=self._module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        ).get_signature_runner(SIGNATURE)
        given, made = signature.get_input_details(), signature.get_output_details()
        self._inputs = [int(given[one.inner]["index"]) for one in self._layout.inputs]
        self._made = [int(made[one.inner]["index"]) for one in self._outputs]
        self._looped = params.batchable and not self._layout.any_batch
        self._sized: Dict[Tuple[Tuple[int, ...], ...], Sized] = {}
        self._pool: List[int] = []

    def compile(self, example: Feeds) -> bool:
        """Lays out the tensors, and lets XNNPACK take and pack what it can."""
        params = self._params
        counts = sorted(params.batches) if params.batchable and not self._looped else []
        for count in counts or [None]:
            feeds = example if count is None else {
                name: np.resize(array, (count, *array.shape[1:])) for name, array in example.items()}
            if self._looped:
                feeds = {name: array[:1] for name, array in example.items()}
            self._for(self._layout.feeds(feeds))
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """A batch in one go, or sample after sample where the converted model takes one."""
        if not self._looped:
            return self._once(inputs)
        count = len(next(iter(inputs.values())))
        rows = [self._once({name: array[i:i + 1] for name, array in inputs.items()}) for i in range(count)]
        return [np.concatenate(parts) for parts in zip(*rows)]

    def _once(self, inputs: Feeds) -> List[np.ndarray]:
        arrays = self._layout.feeds(inputs)
        found = self._for(arrays)(arrays)
        return [np.ascontiguousarray(array.transpose(one.perm)).astype(one.dtype, copy=False)
                for one, array in zip(self._outputs, found)]

    def _for(self, arrays: Sequence[np.ndarray]) -> Sized:
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._sized:
            self._sized[shapes] = self._make(shapes)
        return self._sized[shapes]

    def _make(self, shapes: Sequence[Tuple[int, ...]]) -> Sized:
        resolver = self._module.OpResolverType
        before = _threads()
        interpreter = self._module.Interpreter(
            model_path=self._path, num_threads=self._params.threads,
            experimental_op_resolver_type=resolver.AUTO if self._params.settings.get("xnnpack", True)
            else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        for index, shape in zip(self._inputs, shapes):
            interpreter.resize_tensor_input(index, shape)
        try:
            interpreter.allocate_tensors()
        except RuntimeError as error:
            raise Unsupported(f"LiteRT cannot lay out the tensors: {' '.join(str(error).split())[:300]}") from error
        self._pool.append(_threads() - before)
        return Sized(interpreter, self._inputs, self._made)

    def evidence(self) -> Evidence:
        """Which operators XNNPACK took and which run in LiteRT's own kernels, and in which types they compute."""
        interpreter = next(iter(self._sized.values())).interpreter
        plan = executed(interpreter._get_ops_details(), next(iter(self._sized.values())).outputs)
        all_kinds = _count(op["op_name"] for op in interpreter._get_ops_details() if op["op_name"] != "DELEGATE")
        own = _count(op["op_name"] for op in plan if op["op_name"] != "DELEGATE")
        delegates = sum(op["op_name"] == "DELEGATE" for op in plan)
        types = _count(np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details())
        narrow = sum(count for name, count in types.items() if name in NARROW)
        fallback = None
        if self._params.precision == "int8" and not narrow:
            fallback = "asked for int8, no tensor of the converted model is narrower than 32 bits"
        elif self._params.precision == "fp32" and (narrow or "float16" in types):
            fallback = "asked for fp32, the converted model holds narrower tensors"
        return Evidence(
            device="cpu", fallback=fallback,
            executed_on=(["XNNPACK"] if delegates else []) + (["LiteRT CPU"] if own or not delegates else []),
            batching="loop" if self._looped else "native",
            # XNNPACK's pool is there once the tensors are laid out; that of LiteRT's own kernels comes and goes unseen.
            detail={**({"threads": 1 + self._pool[0]} if delegates else {}), "threads_asked": self._params.threads,
                    "xnnpack_partitions": delegates, "operators": sum(all_kinds.values()), "operator_types": all_kinds,
                    "operators_outside_xnnpack": own, "tensor_types": types, "interpreters": len(self._sized)},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """ai-edge-litert and numpy."""
        return {"ai-edge-litert": importlib.import_module("ai_edge_litert").__version__, "numpy": np.__version__}


def executed(ops: Sequence[Dict[str, Any]], outputs: Sequence[int]) -> List[Dict[str, Any]]:
    """The operators that an inference runs: LiteRT lists what a delegate took over beside the delegate itself.

    Walks from the outputs back; where a delegate makes a tensor, the operators that would have made it are passed by.
    """
    maker: Dict[int, Dict[str, Any]] = {}
    for op in ops:
        for index in op["outputs"]:
            if int(index) not in maker or op["op_name"] == "DELEGATE":
                maker[int(index)] = op
    seen: Dict[int, Dict[str, Any]] = {}
    waiting = [int(index) for index in outputs]
    while waiting:
        op = maker.get(waiting.pop())
        if op is not None and int(op["index"]) not in seen:
            seen[int(op["index"])] = op
            waiting += [int(index) for index in op["inputs"]]
    return [seen[index] for index in sorted(seen)]


def _count(names: Any) -> Dict[str, int]:
    counts: Dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _threads() -> int:
    """Of this process, now."""
    return len(os.listdir("/proc/self/task"))
