"""Records as a real run leaves them, made up in any number: four backends, five columns, five trials, 500 samples each."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.model import Cell, Scalar, Scenario

BACKENDS = ("onnxruntime", "openvino", "torch", "ncnn")
COLUMNS = ((Scenario.SINGLE_STREAM, 1), *((Scenario.OFFLINE, batch) for batch in (1, 8, 32, 128)))
TRIALS = 5
SAMPLES = 500
PER_MODEL = len(BACKENDS) * len(COLUMNS) * TRIALS
SETTINGS: Mapping[str, Scalar] = {
    "graph_optimization_level": "all", "allow_spinning": True, "inter_op_threads": 1, "enable_cpu_mem_arena": True,
}


def cells(models: int) -> list[Cell]:
    """Every backend on every model in every column."""
    return [
        Cell(label=backend, backend=backend, settings=SETTINGS, backend_version=None, model=f"model_{number:04d}", host="local",
             device="cpu", precision="fp32", batch=batch, threads=2, instances=1, scenario=scenario)
        for number in range(models) for backend in BACKENDS for scenario, batch in COLUMNS
    ]


def records(planned: list[Cell]) -> Iterator[dict[str, Any]]:
    """`TRIALS` of each cell, in two machine states, a few disturbed, a few that failed; equal on every machine."""
    rng = random.Random(1)
    for number, cell in enumerate(planned):
        base = (1 + BACKENDS.index(cell.backend)) * 400_000 * cell.batch
        for index in range(TRIALS):
            slow = rng.randrange(5) == 0
            yield _record(cell, index, number, base * (18 if slow else 10) // 10, slow, rng)


def write_run(folder: Path, planned: list[Cell]) -> None:
    """A run directory with all of them, as `infermatrix merge` reads it."""
    (folder / "records").mkdir(parents=True)
    for record in records(planned):
        trial = record["trial"]
        name = f"{record['cell']['id']}.{record['key']}.t{trial['index']}.a0.{record['status']}.json"
        (folder / "records" / name).write_text(json.dumps(record, separators=(",", ":"), sort_keys=True))
    run = {"id": "scaling", "name": "scaling", "profile": "standard", "seed": 1, "started": None, "finished": None}
    asked = {
        "cells": [{**cell.canonical(), "id": cell.id} for cell in planned], "trials": TRIALS, "minimum_effect": 0.02,
        "excluded": [], "unsupported": [],
    }
    document = {"schema": "infermatrix.run/1", "run": run, "host": {"name": "box", "fingerprint": "f00"}, "asked": asked}
    (folder / "run.json").write_text(json.dumps(document))


def pack(nanoseconds: list[int]) -> dict[str, Any]:
    """The wire form of samples."""
    data = zlib.compress(struct.pack(f"<{len(nanoseconds)}Q", *nanoseconds), 1)
    return {"encoding": "zlib+base64:<u8", "count": len(nanoseconds), "data": base64.b64encode(data).decode("ascii")}


def _record(cell: Cell, index: int, number: int, base: int, slow: bool, rng: random.Random) -> dict[str, Any]:
    ok = rng.randrange(100) > 0
    noise = base // 50 + 1
    base += rng.randrange(noise)
    trip = (420.0 if slow else 175.0) + rng.randrange(20)
    reading = {
        "compute_ms": 5.0 + rng.randrange(100) / 500, "compute_best_ms": 4.9, "memory_gbps": 9.0 + rng.randrange(100) / 100,
        "core_to_core_ns": trip, "cpus": [0, 1], "took_ms": 24.2, "null_reasons": {},
    }
    started = f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{index:03d}+00:00"
    return {
        "schema": "infermatrix.record/1", "started": started, "key": f"{number:012x}",
        "cell": {**cell.canonical(), "id": cell.id},
        "trial": {"spec": f"t-{cell.label}-{cell.model}", "index": index, "attempt": 0, "round": index, "position": number % 20,
                  "anchor": False, "anchor_at": None},
        "status": "ok" if ok else "crashed", "reason": None if ok else "killed by signal 11", "phase": None if ok else "measure",
        "exit_code": 0 if ok else 139, "log_tail": "", "valid": True, "invalid_reason": None, "isolation": "docker",
        "not_enforced": [],
        "env": {"name": cell.backend, "digest": "d" * 64, "reference": f"sha256:{'a' * 64}", "size_mb": 287.1, "packages": 6},
        "model": {"name": cell.model, "sha256": "b" * 64, "reference_source": "torch float64", "tolerance": {"rel_l2": 1e-3}},
        "host": {"name": "local", "fingerprint": "f00"}, "limits": {"cpus": [0, 1], "memory_mb": 8192, "pids": 4096},
        "convert": None, "wall_s": 2.6, "container_start_ms": 71.0 + rng.randrange(10),
        "result": {
            "protocol": "infermatrix.result/1", "trial": "t", "task": "trial", "complete": True, "failure": None,
            "versions": {cell.backend: "1.2.3", "numpy": "2.4.6", "python": "3.11.2"},
            "phases": {"start_ms": 21.0, "import_ms": 205.1, "load_ms": 31.7, "compile_ms": None, "total_ms": 2411.9},
            "evidence": {"device": "cpu", "executed_on": ["CPUExecutionProvider"], "fallback": None, "batching": "native",
                         "detail": {"intra_op_threads": 2, "providers": ["CPUExecutionProvider"]}},
            "environment": {
                "affinity": [0, 1], "cgroup": 1, "memory_limit_mb": 8192.0, "oom_kills": 0, "load1_start": 0.9, "load1_end": 1.2,
                "steal_ticks": 0, "pressure_cpu_us": 21_412, "clock_ns": 60,
                "thread_variables": dict.fromkeys(("BLIS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "2"),
            },
            "probes": {"start": reading, "end": {**reading, "settle_ms": 8.1}},
            "null_reasons": {"phases.compile_ms": "the backend compiles while it loads, or not at all"},
        } if ok else None,
        "measurement": {
            "id": cell.id, "scenario": cell.scenario.value, "batch": cell.batch, "status": "ok", "reason": None, "phase": None,
            "first_inference_ms": 12.1, "warmup_ms": 210.0, "warmup_iterations": 12, "measure_ms": 410.0, "iterations": SAMPLES,
            "samples": pack([base + rng.randrange(noise) for _ in range(SAMPLES)]), "cpu_time_s": 0.8, "wall_s": 0.41,
            "threads_seen": 3, "threads_active": 2, "context_switches": 12, "nr_throttled": 0,
            "memory": {"process_peak_mb": 120.0 + rng.randrange(10), "cgroup_peak_mb": 140.0, "baseline_mb": 100.0,
                       "delta_mb": 20.0, "harness_mb": 1.2},
            "fidelity": {"max_abs": 1e-6, "rel_l2": 1e-7, "cosine": 1.0, "topk_agreement": 1.0, "top5_agreement": 1.0,
                         "mismatch_fraction": None, "nan": 0, "inf": 0, "checked": 16, "problem": None, "outputs": []},
            "output_buffers": "own",
            "null_reasons": {"fidelity.mismatch_fraction": "the outputs hold nothing that it is defined for"},
        } if ok else None,
    }
