"""Do our latencies agree with what the backends' own tools measure? Fresh processes of each, in turn, on the same file.

    python -m benchmarks.native openvino [--model resnet50] [--rounds 7] [--seconds 3]      against benchmark_app
    python -m benchmarks.native torch    [--model resnet50] [--rounds 7] [--seconds 3]      against torch.utils.benchmark
    python -m benchmarks.native torch --within [--rounds 40] [--seconds 0.5]                the same, in turn in one process

Batch 1, all the cores of this process, fp32. Both read the same file; OpenVINO's has its batch fixed to 1, because
benchmark_app and our adapter set a free one in different ways. The environments are those that a run made in the cache.
A round is one process of ours and one of the tool's, in turn first; the figure is the median over rounds of the ratio of
their medians (and of their 90th percentiles, where the tool tells it), with a bootstrap interval. Where the machine itself
changes from process to process, `--within` tells more: our timed loop around the adapter and the tool around the module,
turn by turn.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from orchestrator.images.cache import cache_dir
from orchestrator.merge.samples import decode_samples
from orchestrator.protocol import JOB

ROOT = Path(__file__).resolve().parents[1]
TORCH = """\
import sys, json, torch, numpy as np
from torch.utils.benchmark import Timer
threads, path, inputs, seconds = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
torch.set_num_threads(threads)
module = torch.export.load(path).module()
x = torch.from_numpy(next(iter(np.load(inputs).values()))[:1].copy())
with torch.inference_mode():
    for _ in range(10):
        module(x)
    found = Timer("module(x)", globals={"module": module, "x": x}, num_threads=threads).blocked_autorange(min_run_time=seconds)
print(json.dumps({"p50": found.median * 1e3}))
"""
WITHIN = """\
import sys, json
runners, path, inputs, threads, rounds, seconds = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
sys.path.insert(0, runners)
import measure, numpy as np, torch
from adapters.base import Params
from adapters.torch import Adapter
from torch.utils.benchmark import Timer
samples = dict(np.load(inputs))
adapter = Adapter()
adapter.load(path, Params(threads=threads, input_order=tuple(samples), output_order=(), batches=(1,), samples=samples))
batches = measure.build_batches(samples, tuple(samples), 1, batchable=True)
guess = int(np.median(measure.warm_up(adapter.predict, batches, 1.0, 5, 60.0).samples))
limits = measure.Limits(int(seconds * 1e9), 5, 200_000, 10**11)
module, x = torch.export.load(path).module(), torch.from_numpy(next(iter(samples.values()))[:1].copy())

def ours():
    loop = measure.timed_loop(adapter.predict, batches, measure.Capture([None, None]), limits, guess)
    return float(np.median(loop.samples)) / 1e6

def tool():
    with torch.inference_mode():
        timer = Timer("module(x)", globals={"module": module, "x": x}, num_threads=threads)
        return timer.blocked_autorange(min_run_time=seconds).median * 1e3

tool()
for number in range(rounds):
    found = [side() for side in ((ours, tool) if number % 2 else (tool, ours))]
    print(json.dumps(found if number % 2 else found[::-1]), flush=True)
"""
Figures = Mapping[str, float]  # "p50", "p90": ms


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What both sides measure."""

    backend: str
    folder: Path  # of the prepared model
    about: Mapping[str, Any]
    python: Path
    threads: int
    seconds: float
    scratch: Path


def main() -> None:
    """Print a line per round and the agreement; exit code 1 where a median is off by more than 1 %, a p90 by more than 2 %."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("backend", choices=["openvino", "torch"])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--within", action="store_true", help="torch only: both in one process")
    options = parser.parse_args()
    within = options.within and options.backend == "torch"
    seconds, count = options.seconds or (0.5 if within else 3.0), options.rounds or (40 if within else 7)
    with tempfile.TemporaryDirectory() as scratch:
        folder, about = _model(options.model)
        subject = Subject(
            backend=options.backend, folder=folder, about=about, python=_python(options.backend),
            threads=len(os.sched_getaffinity(0)), seconds=seconds, scratch=Path(scratch),
        )
        job = _job(subject)
        native: Callable[[], Figures] = (lambda: _benchmark_app(subject, job)) if options.backend == "openvino" else (
            lambda: _torch_benchmark(subject))
        rounds = []
        for number, (ours, theirs) in enumerate(_torch_within(subject, count) if within else _pairs(subject, job, native, count)):
            rounds.append({name: ours[name] / theirs[name] for name in theirs})
            print(f"round {number + 1}: ours {_text(ours)}; native {_text(theirs)}", flush=True)
    sys.exit(1 if _off(rounds) else 0)


def _off(rounds: Sequence[Figures]) -> bool:
    """Print the agreement; whether it is less than promised."""
    off = False
    for name, limit in (("p50", 0.01), ("p90", 0.02)):
        ratios = np.array([one[name] for one in rounds if name in one])
        if ratios.size:
            medians = np.median(np.random.default_rng(1).choice(ratios, (4000, ratios.size)), axis=1)
            low, high = np.percentile(medians, [2.5, 97.5])
            middle = float(np.median(ratios))
            off |= abs(middle - 1) > limit
            print(f"{name}: ours ÷ native {middle:.4f} [{low:.4f}, {high:.4f}], wanted within {limit:.0%}")
        else:
            print(f"{name}: the tool does not tell it")
    return off


def _pairs(
    subject: Subject, job: Mapping[str, Any], native: Callable[[], Figures], rounds: int
) -> Iterator[tuple[Figures, Figures]]:
    """(ours, the tool's), each in a fresh process, in turn first."""
    for number in range(rounds):
        if number % 2:
            theirs, ours = native(), _ours(subject, job)
        else:
            ours, theirs = _ours(subject, job), native()
        yield ours, theirs


def _torch_within(subject: Subject, rounds: int) -> Iterator[tuple[Figures, Figures]]:
    files = subject.folder / "model.pt2", subject.folder / "inputs.npz"
    command = [subject.python, "-c", WITHIN, ROOT / "runners", *files, subject.threads, rounds, subject.seconds]
    for line in _output([str(part) for part in command]).splitlines():
        ours, theirs = json.loads(line)
        yield {"p50": ours}, {"p50": theirs}


def _text(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g} ms" for name, value in figures.items())


def _model(name: str) -> tuple[Path, Mapping[str, Any]]:
    found = [path for path in (cache_dir() / "models").glob("*/model.json") if json.loads(path.read_text())["name"] == name]
    if not found:
        raise SystemExit(f"{name} is not in the cache: infermatrix run {name} makes it")
    newest = max(found, key=lambda path: path.stat().st_mtime)
    return newest.parent, json.loads(newest.read_text())


def _python(backend: str) -> Path:
    made = sorted((cache_dir() / "venvs").glob(f"{backend}-????????????/infermatrix.json"), key=lambda path: path.stat().st_mtime)
    if not made:
        raise SystemExit(f"{backend} has no environment in the cache: infermatrix run spam --isolation venv makes it")
    return made[-1].parent / "bin" / "python"


def _job(subject: Subject) -> dict[str, Any]:
    """A trial of one cell on a model of batch 1: the export as it is for torch, with its batch fixed for OpenVINO."""
    settings = {"performance_hint": "none", "num_streams": 1, "enable_cpu_pinning": True} if subject.backend == "openvino" else {}
    about, form = subject.about, "pt2" if subject.backend == "torch" else "onnx"
    path, inputs, reference = (subject.folder / name for name in (about["formats"][form], "inputs.npz", "reference.npz"))
    fixed = form == "onnx"
    if fixed:
        model = onnx.load(path)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1
        path = subject.scratch / "model.onnx"
        onnx.save(model, path)
        inputs, reference = (_one_by_one(subject, file) for file in (inputs, reference))
    return {
        "protocol": JOB, "task": "trial", "trial": "t-native", "adapter": subject.backend, "settings": settings,
        "precision": "fp32", "device": "cpu", "threads": subject.threads, "seed": 1,
        "model": {"name": about["name"], "format": form, "path": str(path)}, "inputs": str(inputs), "reference": str(reference),
        "input_order": [tensor["name"] for tensor in about["inputs"]],
        "output_order": [tensor["name"] for tensor in about["outputs"]],
        "batchable": not fixed, "fixed_batch": 1, "cache_dir": None, "probe": {"enabled": False},
        "cells": [{"id": "c", "scenario": "single_stream", "batch": 1, "min_duration_s": subject.seconds, "min_iterations": 10,
                   "max_iterations": 200_000, "warmup_s": 1.0, "max_cell_s": 10 * subject.seconds}],
    }


def _one_by_one(subject: Subject, file: Path) -> Path:
    """A model without a free batch takes each sample with its dimension of one."""
    target = subject.scratch / file.name
    with np.load(file) as arrays:
        np.savez(target, **{name: arrays[name][:, None] for name in arrays.files})
    return target


def _ours(subject: Subject, job: Mapping[str, Any]) -> Figures:
    out = Path(tempfile.mkdtemp(dir=subject.scratch))
    command = [subject.python, ROOT / "runners" / "run.py", "--job-json", json.dumps(job), "--out", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    result = json.loads((out / "result.json").read_text()) if (out / "result.json").is_file() else {}
    cells = [cell for cell in result.get("cells", ()) if cell["status"] == "ok"]
    if not cells:
        raise SystemExit(f"our trial failed: {result.get('failure') or result.get('cells') or done.stderr}")
    samples = decode_samples(cells[0]["samples"]).astype(float) / 1e6
    return {"p50": float(np.percentile(samples, 50)), "p90": float(np.percentile(samples, 90))}


def _benchmark_app(subject: Subject, job: Mapping[str, Any]) -> Figures:
    command = [
        subject.python.with_name("benchmark_app"), "-m", job["model"]["path"], "-d", "CPU", "-api", "sync", "-hint", "none",
        "-nthreads", subject.threads, "-nstreams", 1, "-pin", "YES",
        "-infer_precision", "f32", "-t", max(1, round(subject.seconds)), "-latency_percentile", 90,
    ]
    text = _output([str(part) for part in command])
    median, ninety = re.search(r"Median:\s+([\d.]+) ms", text), re.search(r"90 percentile:\s+([\d.]+) ms", text)
    if ninety is None:
        raise SystemExit(f"benchmark_app said nothing of latency:\n{text[-2000:]}")
    # with -latency_percentile the tool tells that one only: the median comes from a second process beside it
    if median is None:
        text = _output([str(part) for part in command[:-2]])
        median = re.search(r"Median:\s+([\d.]+) ms", text)
    if median is None:
        raise SystemExit(f"benchmark_app said nothing of the median:\n{text[-2000:]}")
    return {"p50": float(median[1]), "p90": float(ninety[1])}


def _torch_benchmark(subject: Subject) -> Figures:
    files = subject.folder / "model.pt2", subject.folder / "inputs.npz"
    command = [subject.python, "-c", TORCH, subject.threads, *files, subject.seconds]
    return dict(json.loads(_output([str(part) for part in command]).splitlines()[-1]))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


if __name__ == "__main__":
    main()
