"""CNTK: its own importer loads the opset-9 file that `cntk_convert.py` wrote, and its CPU kernels run it in whole batches.

Runs on Python 3.6: no newer syntax here.
"""
import ctypes
import os
from typing import Any, Dict, List

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported
from .cntk_mpi import import_with_mpi

ARTIFACT_FORMATS = {".onnx": "onnx9"}
NO_CACHE = "CNTK keeps nothing between processes"


class Adapter(BaseAdapter):
    """One function, evaluated with its first axis as free as the file has it."""

    def __init__(self) -> None:
        self._cntk, self._mpi = import_with_mpi("cntk")

    def load(self, path: str, params: Params) -> None:
        """Threads are those of the whole process."""
        if params.precision != "fp32":
            raise Unsupported("CNTK runs fp32 here, not {}".format(params.precision))
        if params.device != "cpu":
            raise Unsupported("CNTK's wheel for the CPU has no other device")
        cntk = self._cntk
        self._device = cntk.device.cpu()
        if not cntk.device.try_set_default_device(self._device):
            raise RuntimeError("CNTK did not take the CPU as its device")
        cntk.cntk_py.set_max_num_cputhreads(params.threads)
        self._params = params
        try:
            function = cntk.Function.load(path, device=self._device, format=cntk.ModelFormat.ONNX)
        except (RuntimeError, ValueError) as error:
            raise Unsupported("CNTK's importer refuses the model: {}".format(_sentence(error))) from error
        arguments = {argument.name: argument for argument in function.arguments}
        unknown = sorted(set(arguments) - set(params.input_order))
        if unknown:
            raise Unsupported("CNTK's importer leaves {} without a value".format(", ".join(unknown)))
        self._arguments = arguments  # an input on which nothing depends is not among them
        self._outputs = _outputs(function, params.output_order)
        self._function = function

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """`eval` copies in, computes and copies out."""
        feeds = {argument: inputs[name] for name, argument in self._arguments.items()}
        found = self._function.eval(feeds, outputs=self._outputs, device=self._device)
        return [found[output] for output in self._outputs] if isinstance(found, dict) else [found]

    def evidence(self) -> Evidence:
        """Threads by CNTK's and by OpenMP's own word, and the operators of the function as it was imported."""
        kinds: Dict[str, int] = {}
        cntk, root = self._cntk, self._function.root_function
        for node in cntk.logging.graph.depth_first_search(root, lambda one: isinstance(one, cntk.Function)):
            kinds[node.op_name] = kinds.get(node.op_name, 0) + 1
        return Evidence(
            device="cpu" if self._device.type() == cntk.device.DeviceKind.CPU else "gpu", executed_on=["CNTK CPU"],
            detail={"threads": int(cntk.cntk_py.get_max_num_cputhreads()), "openmp_threads": _openmp_threads(),
                    "operators": sum(kinds.values()), "operator_types": kinds, "mpi": self._mpi},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """cntk and numpy."""
        return {"cntk": self._cntk.__version__, "numpy": np.__version__}


def _outputs(function: Any, order: Any) -> List[Any]:
    """The function's outputs in that order; several are told apart by the names that the converter gave them."""
    if len(order) == len(function.outputs) == 1:
        return list(function.outputs)
    named = {output.name: output for output in function.outputs}
    lost = [name for name in order if name not in named]
    if lost:
        raise Unsupported("CNTK's importer lost the output {}".format(lost[0]))
    return [named[name] for name in order]


def _sentence(error: BaseException) -> str:
    """CNTK's errors carry their call stack behind the sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _openmp_threads() -> int:
    """Asked of the OpenMP library that CNTK brings and this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.split(None, 5)[5].strip() if line.count("/") else ""
            if os.path.basename(path).startswith("libiomp5"):
                return int(ctypes.CDLL(path).omp_get_max_threads())
    return 0


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → ONNX at opset 9, in the converter's environment."""
    from .cntk_convert import convert as run

    return run(path, out_dir, params)
