"""Does our single_stream agree with LoadGen's SingleStream? Both around the same session, in turn within one process.

    python -m benchmarks.native_loadgen [--width 1024] [--depth 8] [--rounds 15] [--seconds 1]

The network is a dense one in ONNX Runtime on one thread, batch 1, a millisecond or so; a round is one loop of ours and one
run of LoadGen's over as many requests, in turn first. Figures: the median over rounds of LoadGen's p50 ÷ ours and p90 ÷
ours, each with a bootstrap interval, and what LoadGen and its Python binding cost by themselves (an empty system): on a
network that takes microseconds that cost is seen, and it is LoadGen's, not the network's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "runners"))

import measure  # type: ignore[import-not-found]
import numpy as np
import onnx
from adapters.base import Params  # type: ignore[import-not-found]
from onnx import TensorProto, helper, numpy_helper
from scenarios import loadgen  # type: ignore[import-not-found]

from orchestrator.merge.statistics import median, median_interval

SAMPLES = 16
P50_WITHIN, P90_WITHIN = 0.01, 0.02  # what the project promises
Predict = Callable[[dict[str, np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """LoadGen's figure ÷ ours, over rounds."""

    p50: float
    p50_ci95: tuple[float, float] | None
    p90: float
    p90_ci95: tuple[float, float] | None
    ours_p50_ms: float
    loadgen_alone_us: float
    requests: int  # of each side in each round

    @property
    def agrees(self) -> bool:
        """Median and 90th percentile are as close as promised."""
        return abs(self.p50 - 1) <= P50_WITHIN and abs(self.p90 - 1) <= P90_WITHIN


def agreement(predict: Predict, batches: Any, *, rounds: int, seconds: float) -> Agreement:
    """`batches` is what `measure.build_batches` gives; each side runs about `seconds` in each round."""
    warm = measure.warm_up(predict, batches, max(0.2, seconds / 4), 3, 60.0)
    guess = int(np.median(warm.samples))
    requests = max(100, int(seconds * 1e9 / guess))
    ours: list[Any] = []
    theirs: list[Any] = []
    gc.collect()
    gc.disable()
    for number in range(rounds):
        for mine in (True, False) if number % 2 else (False, True):
            if mine:
                ours.append(_ours(predict, batches, requests, guess))
            else:
                theirs.append(_loadgen(predict, batches.feeds, requests, guess))
    alone = _loadgen(_nothing, batches.feeds, 2_000, 2_000)
    gc.enable()
    ratios = {share: [float(np.quantile(b, share) / np.quantile(a, share)) for a, b in zip(ours, theirs, strict=True)]
              for share in (0.5, 0.9)}
    return Agreement(
        p50=median(ratios[0.5]), p50_ci95=median_interval(ratios[0.5]), p90=median(ratios[0.9]),
        p90_ci95=median_interval(ratios[0.9]), ours_p50_ms=median([float(np.median(one)) for one in ours]) / 1e6,
        loadgen_alone_us=float(np.median(alone)) / 1e3, requests=requests,
    )


def _ours(predict: Predict, batches: Any, requests: int, guess_ns: int) -> Any:
    capture = measure.Capture([None, None])
    limits = measure.Limits(0, requests, requests, 10**12)
    return np.array(measure.timed_loop(predict, batches, capture, limits, guess_ns).samples)


def _loadgen(predict: Predict, feeds: Sequence[Mapping[str, Any]], requests: int, guess_ns: int) -> Any:
    """Latencies in ns. An exception would crash LoadGen, so it is raised after the run."""
    failed: list[BaseException] = []

    def issue(queries: Sequence[Any]) -> None:
        for query in queries:
            try:
                predict(dict(feeds[query.index]))
            except Exception as error:  # noqa: BLE001 - any would crash the process
                failed.append(error)
            loadgen.answer([query.id])

    run = loadgen.single_stream(loadgen.Sut(issue, len(feeds)), requests=requests, expected_ns=guess_ns, seed=1)
    if failed:
        raise failed[0]
    return run.latency


def _nothing(_feeds: dict[str, Any]) -> list[Any]:
    return []


def dense_network(path: Path, *, width: int, depth: int) -> None:
    """A dense network of `depth` layers, input (batch, width), as an ONNX file."""
    generator = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for number in range(depth):
        values = (generator.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"p{number}"]))
        name = "y" if number == depth - 1 else f"r{number}"
        nodes.append(helper.make_node("Relu", [f"p{number}"], [name]))
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", width]) for end in ("x", "y")]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def session(path: Path, samples: dict[str, Any]) -> Predict:
    """The network behind the adapter that trials use."""
    from adapters.onnxruntime import Adapter  # type: ignore[import-not-found]

    adapter = Adapter()
    params = Params(threads=1, input_order=("x",), output_order=("y",), batches=(1,), samples=samples)
    adapter.load(str(path), params)
    predict: Predict = adapter.predict
    return predict


def main() -> int:
    """Prints the agreement as JSON; exit code 1 where it is not as close as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024, help="of each dense layer")
    parser.add_argument("--depth", type=int, default=8, help="number of layers")
    parser.add_argument("--rounds", type=int, default=15, help="of both sides")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each side in each round")
    options = parser.parse_args()
    samples = {"x": np.random.default_rng(1).standard_normal((SAMPLES, options.width)).astype(np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.onnx"
        dense_network(path, width=options.width, depth=options.depth)
        predict = session(path, samples)
    batches = measure.build_batches(samples, ["x"], 1, batchable=True)
    found = agreement(predict, batches, rounds=options.rounds, seconds=options.seconds)
    print(json.dumps({**asdict(found), "agrees": found.agrees}, indent=1))
    return 0 if found.agrees else 1


if __name__ == "__main__":
    raise SystemExit(main())
