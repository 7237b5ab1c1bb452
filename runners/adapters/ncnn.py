"""ncnn: runs the pair of files that pnnx wrote (`ncnn_convert.py`)."""
from __future__ import annotations

import importlib
import json
import os
from typing import Any, Dict, List, Tuple

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported

ARTIFACT_FORMATS = {".param": "ncnn"}
SWITCHES = ("use_packing_layout", "use_winograd_convolution", "use_winograd23_convolution", "use_winograd43_convolution",
            "use_winograd63_convolution", "use_sgemm_convolution", "lightmode")
SETTINGS = (*SWITCHES, "openmp_blocktime")
# Everything that computes or stores in fewer than 32 bits; several are on by default.
NARROW = ("fp16", "bf16", "int8")
NO_CACHE = "ncnn keeps nothing between processes: it reads the converted graph and packs the weights anew each time"
NO_BATCH_AXIS = 233  # pnnx's own way to write "none"


class Adapter(BaseAdapter):
    """One `ncnn.Net`; an extractor per inference, as ncnn means it."""

    def __init__(self) -> None:
        # Not at the top: the converter's environment holds pnnx and no ncnn.
        self._ncnn: Any = importlib.import_module("ncnn")
        self._native = True

    def load(self, path: str, params: Params) -> None:
        """`path` is `model.ncnn.param`; weights and `model.ncnn.json` lie beside it."""
        if params.precision != "fp32":
            raise Unsupported(f"ncnn runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("ncnn runs on the CPU here; its Vulkan path is not in this adapter")
        stem = path[: -len(".param")]
        with open(stem + ".json", encoding="utf-8") as file:
            about = json.load(file)
        net = self._ncnn.Net()
        self._apply(net.opt, params)
        unknown = self._unknown(path)
        if unknown:
            raise Unsupported(f"operator {unknown[0]} is none that ncnn has")
        if net.load_param(path) != 0:
            raise Unsupported("ncnn refused the converted graph")
        if net.load_model(stem + ".bin") != 0:
            raise RuntimeError("ncnn could not read the converted weights")
        self._net = net
        self._params = params
        self._native = about["batch_index"] == 0
        self._feeds: List[Tuple[str, str, Any]] = [
            (f"in{index}", tensor["name"], np.dtype(tensor["feed_dtype"])) for index, tensor in enumerate(about["inputs"])
        ]
        rows = {tensor["name"]: tensor for tensor in about["outputs"]}
        self._fetches: List[Tuple[str, Tuple[int, ...], Any]] = []
        for name in params.output_order:
            tensor = rows[name]
            self._fetches.append((f"out{tensor['index']}", tuple(tensor["shape"]), np.dtype(tensor["dtype"])))

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """A batch in one go where the graph has a batch axis, else sample after sample."""
        if self._native:
            return self._batch(inputs)
        count = len(inputs[self._feeds[0][1]]) if self._params.batchable else 1
        if count == 1:
            return self._whole(inputs)
        rows = [self._whole({name: array[i:i + 1] for name, array in inputs.items()}) for i in range(count)]
        return [np.concatenate([row[j] for row in rows]) for j in range(len(self._fetches))]

    def _batch(self, inputs: Feeds) -> List[np.ndarray]:
        mat = self._ncnn.Mat
        outputs = []
        count = 1
        with self._net.create_extractor() as extractor:
            for blob, name, dtype in self._feeds:
                array = inputs[name]
                count = len(array)
                # clone(): ncnn's in-place layers would write into the caller's array.
                extractor.input(blob, mat(np.ascontiguousarray(array, dtype), batch_index=0).clone())
            for blob, shape, dtype in self._fetches:
                outputs.append(self._fetch(extractor, blob, 0).reshape((count, *shape[1:])).astype(dtype, copy=False))
        return outputs

    def _whole(self, inputs: Feeds) -> List[np.ndarray]:
        """The graph as it was converted, for one sample: no axis is special, the leading 1 stays."""
        outputs = []
        with self._net.create_extractor() as extractor:
            for blob, name, dtype in self._feeds:
                extractor.input(blob, self._ncnn.Mat(np.ascontiguousarray(inputs[name], dtype)).clone())
            for blob, shape, dtype in self._fetches:
                outputs.append(self._fetch(extractor, blob, NO_BATCH_AXIS).reshape(shape).astype(dtype, copy=False))
        return outputs

    def _fetch(self, extractor: Any, blob: str, batch_index: int) -> np.ndarray:
        code, mat = extractor.extract(blob)
        if code != 0:
            raise RuntimeError(f"ncnn could not compute {blob} (code {code})")
        # numpy() is a view; the copy outlives the Mat.
        return np.array(mat.numpy(batch_index=batch_index))

    def evidence(self) -> Evidence:
        """The net's own options as it holds them, and the kinds of layers it built."""
        option = self._net.opt
        kinds: Dict[str, int] = {}
        for layer in self._net.layers():
            kinds[layer.type] = kinds.get(layer.type, 0) + 1
        on = bool(option.use_vulkan_compute)
        narrow = [name for name in dir(option) if any(width in name for width in NARROW) and getattr(option, name)]
        fallback = None
        if on:
            fallback = "ncnn switched its Vulkan path on"
        elif narrow:
            fallback = f"ncnn computes in fewer than 32 bits: {', '.join(narrow)}"
        return Evidence(
            device="gpu" if on else "cpu", executed_on=["ncnn CPU"], fallback=fallback,
            batching="native" if self._native else "loop",
            detail={"layers": sum(kinds.values()), "layer_types": kinds, "threads": option.num_threads,
                    **{name: getattr(option, name) for name in SETTINGS}},
            cache=CacheUse(kind="none", note=NO_CACHE) if self._params.keep_cache else None,
        )

    def versions(self) -> Dict[str, str]:
        """ncnn and numpy."""
        return {"ncnn": self._ncnn.__version__, "numpy": np.__version__}

    def _unknown(self, path: str) -> List[str]:
        with open(path, encoding="utf-8") as file:
            kinds = sorted({line.split()[0] for line in file.read().splitlines()[2:] if line.strip()})
        return [kind for kind in kinds if self._ncnn.layer_to_index(kind) < 0]

    @staticmethod
    def _apply(option: Any, params: Params) -> None:
        option.num_threads = params.threads
        option.use_vulkan_compute = False
        for name in dir(option):
            if any(width in name for width in NARROW):
                setattr(option, name, False)
        for name in SETTINGS:
            if params.settings.get(name) is not None:
                setattr(option, name, bool(params.settings[name]) if name in SWITCHES else int(params.settings[name]))
        # One OpenMP pool per process: without this its size is that of the machine until the first layer.
        os.environ.setdefault("OMP_NUM_THREADS", str(params.threads))


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → ncnn, in the converter's environment."""
    from .ncnn_convert import convert as run

    return run(path, out_dir, params)
