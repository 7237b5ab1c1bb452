"""Records as the measuring loop writes them, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from orchestrator.merge.samples import encode_samples
from orchestrator.model import Cell, Scenario

FAST_NS, SLOW_NS = 176.0, 447.0


def make_cell(label: str = "alpha", **more: Any) -> Cell:
    base: dict[str, Any] = {
        "label": label, "backend": "alpha", "settings": {}, "backend_version": None, "model": "spam", "host": "local",
        "device": "cpu", "precision": "fp32", "batch": 1, "threads": 2, "instances": 1, "scenario": Scenario.SINGLE_STREAM,
    }
    return Cell(**{**base, **more})


def make_probes(start_ns: float | None = FAST_NS, end_ns: float | None = None, *, compute_ms: float = 5.0,
                memory_gbps: float = 10.0) -> dict[str, Any]:
    ends = (start_ns, start_ns if end_ns is None else end_ns)
    return {name: {"compute_ms": compute_ms, "memory_gbps": memory_gbps, "core_to_core_ns": ns}
            for name, ns in zip(("start", "end"), ends, strict=True)}


def make_samples(median_ms: float, count: int = 51, *, seed: int = 0, spread: float = 0.01) -> dict[str, Any]:
    """`count` (odd) samples whose median is exactly `median_ms`, to the nanosecond."""
    rng = np.random.default_rng(seed)
    values = median_ms * 1e6 * np.exp(rng.normal(0, spread, count))
    values *= median_ms * 1e6 / np.median(values)
    return encode_samples(np.maximum(values.round(), 1))


def make_record(of: Cell, index: int = 0, median_ms: float = 2.0, *, status: str = "ok", attempt: int = 0,
                probes: dict[str, Any] | None = None, count: int = 51, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One record; `more` replaces top-level fields."""
    ran = status in ("ok", "wrong_answer")
    rel = 0.5 if status == "wrong_answer" else 1e-6
    record: dict[str, Any] = {
        "schema": "infermatrix.record/1", "key": "0123456789ab", "cell": {**of.canonical(), "id": of.id},
        "trial": {"spec": of.load_key, "index": index, "attempt": attempt, "round": index, "position": 0,
                  "anchor": False, "anchor_at": None},
        "status": status, "reason": reason, "phase": None if ran else "measure", "exit_code": 0 if ran else 139,
        "log_tail": "" if ran else "Segmentation fault", "valid": True, "invalid_reason": None, "isolation": "docker",
        "not_enforced": [], "env": {"digest": "d1", "reference": "sha256:1", "size_mb": 200.0, "packages": 12},
        "model": {"name": of.model, "sha256": "ab", "reference_source": "float64", "tolerance": {"rel_l2": 1e-3}},
        "host": {"name": "box", "fingerprint": "f00"}, "limits": {"cpus": [0, 1], "memory_mb": 8192, "pids": 4096},
        "convert": None, "started": f"2025-01-01T00:{index:02d}:{attempt:02d}Z", "wall_s": 3.0, "container_start_ms": 300.0,
        "result": {
            "protocol": "infermatrix.result/1", "trial": "t", "task": "trial", "complete": True, "failure": None,
            "versions": {"alpha": "1.2.3", "numpy": "2.0", "python": "3.11.2"},
            "phases": {"start_ms": 40.0, "import_ms": 200.0, "load_ms": 30.0, "compile_ms": None, "total_ms": 2000.0},
            "evidence": {"device": "cpu", "executed_on": ["CPU"], "fallback": None, "batching": "native", "detail": {}},
            "environment": {"affinity": [0, 1], "load1_start": 0.4, "steal_ticks": 0, "foreign_ticks": 3, "watched_s": 2.0},
            "probes": make_probes() if probes is None else probes,
            "null_reasons": {"phases.compile_ms": "it compiles while it loads"},
        } if ran else None,
        "measurement": {
            "id": of.id, "status": "ok", "first_inference_ms": 12.0, "iterations": count, "cpu_time_s": 0.8, "wall_s": 0.4,
            "samples": make_samples(median_ms, count, seed=index), "threads_seen": 3, "nr_throttled": 0,
            "memory": {"process_peak_mb": 120.0 + index, "cgroup_peak_mb": None, "delta_mb": 20.0},
            "fidelity": {"max_abs": rel, "rel_l2": rel, "cosine": 1.0, "topk_agreement": 1.0, "nan": 0, "inf": 0, "checked": 16},
            "null_reasons": {"memory.cgroup_peak_mb": "the cgroup does not show it"},
        } if ran else None,
    }
    return {**record, **more}
