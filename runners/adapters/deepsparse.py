"""DeepSparse (ended in 2025): compiles an ONNX file, one engine per batch size."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import deepsparse
import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported

NO_CACHE = "DeepSparse compiles anew in each process"
SCHEDULERS = ("single_stream", "multi_stream", "elastic")


class Adapter(BaseAdapter):
    """Engines by batch size: each is compiled for the shapes that it gets."""

    def load(self, path: str, params: Params) -> None:
        """Compiles the engines for the batches that will be measured; the file holds the weights itself."""
        if params.precision != "fp32":
            raise Unsupported(f"DeepSparse computes fp32 models in fp32, not in {params.precision}")
        if params.device != "cpu":
            raise Unsupported("DeepSparse runs on CPUs only")
        self._path, self._params = path, params
        self._scheduler = str(params.settings.get("scheduler") or SCHEDULERS[0])
        if self._scheduler not in SCHEDULERS:
            raise Unsupported(f"scheduler is one of {', '.join(SCHEDULERS)}, not {self._scheduler!r}")
        self._engines: Dict[Optional[int], Any] = {}
        for batch in sorted(set(params.batches) or {1}):
            self._engine(batch)

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """The engine takes arrays in its own order of inputs, and gives its outputs in its own."""
        engine = self._engine(len(inputs[self._params.input_order[0]]) if self._params.batchable else 0)
        found = engine.run([inputs[name] for name in engine.input_names], val_inp=False)
        return [found[engine.output_names.index(name)] for name in self._params.output_order]

    def _engine(self, count: int) -> Any:
        batch = count if self._params.batchable else None  # None: the shapes that the file fixes stay as they are
        if batch not in self._engines:
            try:
                self._engines[batch] = deepsparse.compile_model(
                    self._path, batch_size=batch, num_cores=self._params.threads, scheduler=self._scheduler)
            except (RuntimeError, ValueError) as error:
                raise Unsupported(f"DeepSparse cannot compile this model: {_last_line(error)}") from error
        return self._engines[batch]

    def evidence(self) -> Evidence:
        """What the engines say of themselves. What they do not take runs in the ONNX Runtime that DeepSparse brings."""
        engine = next(iter(self._engines.values()))
        own = engine.fraction_of_supported_ops
        return Evidence(
            device="cpu", executed_on=["DeepSparse"] if own == 1 else ["DeepSparse", "ONNX Runtime within it"],
            fallback=None if own else "DeepSparse took no operator of this graph; the ONNX Runtime within it ran all of them",
            detail={"cores": engine.num_cores, "streams": engine.num_streams, "scheduler": engine.scheduler.value,
                    "instructions": engine.cpu_avx_type, "vnni": bool(engine.cpu_vnni),
                    "fraction_of_supported_ops": own, "engines": len(self._engines)},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """deepsparse and numpy."""
        return {"deepsparse": deepsparse.__version__, "numpy": np.__version__}


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["it gave no reason"])[-1][:300]
