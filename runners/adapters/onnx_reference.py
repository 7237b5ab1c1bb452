"""ONNX's reference evaluator: every operator as the specification has it, in numpy.

It says what a model means, not how fast it can be: a row of it is the oracle beside the competitors.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import numpy as np
import onnx
import threadpoolctl
from onnx.reference import ReferenceEvaluator, op_run

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported

NO_CACHE = "the reference evaluator compiles nothing and keeps nothing"


class Adapter(BaseAdapter):
    """One `ReferenceEvaluator`."""

    def load(self, path: str, params: Params) -> None:
        """Reads the file; there is nothing to compile."""
        if params.precision != "fp32":
            raise Unsupported(f"the reference evaluator computes what the model says, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("the reference evaluator runs in numpy, on the CPU")
        try:
            # Given a path, the evaluator would open the file itself and not find external data beside it.
            self._evaluator: Any = ReferenceEvaluator(onnx.load(path))
        except Exception as error:
            raise _explained(error) from error
        self._params = params
        self._names = list(params.output_order)
        self._last: Feeds = {}

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Operator after operator; an output may be a view of an input."""
        self._last = inputs
        try:
            return [np.asarray(output) for output in self._evaluator.run(self._names, inputs)]
        except Exception as error:
            raise _explained(error) from error

    def evidence(self) -> Evidence:
        """numpy's matrix products are all that has threads here, and they say how many."""
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool.get("user_api") == "blas"]
        kinds: Dict[str, int] = {}
        for node in self._evaluator.rt_nodes_:
            kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
        return Evidence(
            device="cpu", executed_on=["numpy"],
            detail={"threads": max((int(pool["num_threads"]) for pool in pools), default=1),
                    "blas": sorted({f"{pool['internal_api']} {pool['version']}" for pool in pools}), "operators": kinds},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def final_evidence(self) -> Evidence:
        """And the types of all results on the way, which takes one inference more and the memory for all of them."""
        evidence = self.evidence()
        rows = {name: array[:1] if self._params.batchable else array for name, array in self._last.items()}
        found = self._evaluator.run(None, rows, intermediate=True)
        types: Dict[str, int] = {}
        for value in found.values():
            kind = str(getattr(value, "dtype", type(value).__name__))
            types[kind] = types.get(kind, 0) + 1
        return replace(evidence, detail={**evidence.detail, "result_types": types})

    def versions(self) -> Dict[str, str]:
        """onnx and numpy."""
        return {"onnx": onnx.__version__, "numpy": np.__version__}


def _explained(error: Exception) -> Exception:
    """`Unsupported` where the evaluator says that it has no implementation; else the error itself."""
    text = " ".join(str(error).split())
    missing = isinstance(error, (NotImplementedError, op_run.RuntimeImplementationError))
    signs = ("No implementation", "not implemented", "is not registered", "Unable to find", "does not exist in domain",
             "is unknown, known functions", "this is no ONNX corresponding type")
    return Unsupported(text[:300]) if missing or any(sign in text for sign in signs) else error
