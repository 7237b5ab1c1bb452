"""What the harness adds per inference: its timed loop against the barest one around the same call.

    python benchmarks/overhead.py [--rounds 200] [--iterations 1000]

Both loops run the same network (200-128-64-32-16-8-1, batch 1) in turn within one process, so drift of the machine hits
both alike. Two figures, each with a 95 % bootstrap interval over rounds: `inside`, what a latency sample gains, and
`whole`, the CPU time that an inference costs more in all (rotating inputs, keeping outputs, looking at the stop
condition). The network runs on one thread; CPU time, because other work on the machine does not count towards it.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "runners"))

import measure  # type: ignore[import-not-found]
import numpy as np

LAYERS = (200, 128, 64, 32, 16, 8, 1)
SAMPLES = 16
LIMIT_NS = 500  # what the project promises
Predict = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


def numpy_predict(weights: list[np.ndarray]) -> Predict:
    """An adapter's predict, in numpy."""
    hidden, last = weights[:-1], weights[-1]

    def predict(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        values = inputs["x"]
        for weight in hidden:
            values = np.maximum(values @ weight, 0)
        return [values @ last]

    return predict


def onnxruntime_predict(weights: list[np.ndarray]) -> Predict | None:
    """The same in ONNX Runtime, where it and onnx can be imported."""
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    nodes, name = [], "x"
    for number in range(len(weights)):
        product = f"p{number}" if number < len(weights) - 1 else "y"
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [product]))
        name = f"r{number}"
        if product != "y":
            nodes.append(helper.make_node("Relu", [product], [name]))
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", LAYERS[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", LAYERS[-1]])],
        [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/net.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/net.onnx", options, providers=["CPUExecutionProvider"])
    run = session.run
    return lambda inputs: run(["y"], inputs)


def bare_loop(predict: Predict, feeds: dict[str, np.ndarray], iterations: int) -> tuple[list[int], int]:
    """The least that measures anything: one input, two readings of the clock, one append."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    push = samples.append
    begin = time.process_time_ns()
    for _ in range(iterations):
        before = clock()
        predict(feeds)
        after = clock()
        push(after - before)
    return samples, time.process_time_ns() - begin


def compare(predict: Predict, batches: Any, rounds: int, iterations: int) -> dict[str, np.ndarray]:
    """Differences in ns per inference (harness less bare) and the bare latency, one value per round."""
    found: dict[str, list[float]] = {"inside": [], "whole": [], "bare": []}
    limits = measure.Limits(0, iterations, iterations, 10**12)
    first = predict(batches.feeds[0])
    gc.collect()
    gc.disable()
    for number in range(rounds + 2):
        def bare() -> tuple[list[int], int]:
            return bare_loop(predict, batches.feeds[0], iterations)

        def harness() -> tuple[list[int], int]:
            begin = time.process_time_ns()
            loop = measure.timed_loop(predict, batches, measure.capture_for(batches, first), limits, 10_000)
            return loop.samples, time.process_time_ns() - begin

        if number % 2:
            (bare_samples, bare_ns), (samples, spent_ns) = bare(), harness()
        else:
            (samples, spent_ns), (bare_samples, bare_ns) = harness(), bare()
        if number >= 2:  # the first two warm up
            found["inside"].append(float(np.median(samples) - np.median(bare_samples)))
            found["whole"].append((spent_ns - bare_ns) / iterations)
            found["bare"].append(float(np.median(bare_samples)))
    gc.enable()
    return {name: np.array(values) for name, values in found.items()}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Median and its 95 % bootstrap interval."""
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(values, (4000, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)


def main() -> int:
    """Print the figures; exit code 1 where the interval lies beyond what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=1000, help="inferences per loop and round")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal(shape).astype(np.float32) for shape in itertools.pairwise(LAYERS)]
    batches = measure.build_batches(
        {"x": generator.standard_normal((SAMPLES, LAYERS[0])).astype(np.float32)}, ["x"], 1, batchable=True)
    backends = {"numpy": numpy_predict(weights), "onnxruntime": onnxruntime_predict(weights)}
    report: dict[str, Any] = {}
    for name, predict in backends.items():
        if predict is None:
            print(f"{name}: not importable here", file=sys.stderr)
            continue
        found = compare(predict, batches, options.rounds, options.iterations)
        report[name] = {part: dict(zip(("ns", "low", "high"), interval(values), strict=True)) for part, values in found.items()}
    if options.json:
        print(json.dumps(report))
    else:
        for name, parts in report.items():
            print(f"{name}: bare latency {parts['bare']['ns']:.0f} ns")
            for part in ("inside", "whole"):
                print(f"  {part:<6} {parts[part]['ns']:+6.0f} ns  [{parts[part]['low']:+.0f}, {parts[part]['high']:+.0f}]")
    return int(any(parts["whole"]["low"] > LIMIT_NS for parts in report.values()))


if __name__ == "__main__":
    sys.exit(main())
