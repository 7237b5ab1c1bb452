"""A realistic matrix.json for the tests of the reports: 4 backends × 4 models × {single_stream b1, offline b8}.

It has every kind of cell that a reader meets: winners, ties, undecided ones, each kind of failure, nulls with reasons,
several machine states. `hostile` puts what an adversary would write into every string that a container can choose.
"""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

from orchestrator.report.metrics import METRICS

LABELS = ("onnxruntime", "openvino", "torch", "ncnn")
MODELS = {"spam": 0.011, "resnet50": 41.0, "mobilenetv2": 6.2, "minilm": 9.4}
CONDITIONS = (("single_stream", 1), ("offline", 8))
SPEED = {"onnxruntime": 1.0, "openvino": 1.004, "torch": 1.55, "ncnn": 1.3}

_ABSENT = {"Energy": "no RAPL on this machine", "GPU": "the cell did not run on a GPU", "Memory, cgroup": "not shown here"}
_METERS = {metric.path: _ABSENT[metric.meter] for metric in METRICS
           if metric.meter in _ABSENT and metric.path != "memory_cgroup_peak_mb"}

# (label, model, batch) -> (status, reason, phase, log)
FAILURES: dict[tuple[str, str, int], tuple[str, str, str, str]] = {
    ("ncnn", "minilm", 1): ("unsupported", "operator LayerNormalization is not supported", "convert", "pnnx: unknown op"),
    ("ncnn", "minilm", 8): ("convert_failed", "the converter ended with exit code 1", "convert", "pnnx: segfault"),
    ("ncnn", "resnet50", 1): ("wrong_answer", "relative L2 0.41 exceeds the tolerance 0.02", "verify", ""),
    ("ncnn", "resnet50", 8): ("fallback", "the CPU reference path executed, not Vulkan", "verify", ""),
    ("torch", "resnet50", 8): ("oom", "killed at the memory limit of 2,048 MB", "measure", "…\nKilled"),
    ("torch", "minilm", 8): ("timeout", "not done after 20 s", "warmup", ""),
    ("torch", "spam", 8): ("unstable", "the interval is 34 % of the estimate wide", "measure", ""),
    ("openvino", "mobilenetv2", 1): ("build_failed", "no wheel for this machine", "build", "ERROR: No matching distribution"),
    ("openvino", "mobilenetv2", 8): ("not_run", "the time for the run was over", "start", ""),
    ("torch", "mobilenetv2", 8): ("crashed", "ended by signal 11", "load", "Segmentation fault (core dumped)"),
}
UNDECIDED = {("minilm", 1)}

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}</script><!--|`*_[a](javascript:alert(3))\x1b[31m\u202e'


def sample_matrix(*, labels: tuple[str, ...] = LABELS, models: dict[str, float] | None = None,
                  conditions: tuple[tuple[str, int], ...] = CONDITIONS, hostile: str = "") -> dict[str, Any]:
    """A matrix as the merge writes it; the same arguments give the same matrix."""
    rng = random.Random(7)
    models = MODELS if models is None else models
    groups = [(model, scenario, batch) for model in models for scenario, batch in conditions]
    cells, comparisons = [], []
    for model, scenario, batch in groups:
        members = [_cell(label, model, models[model], scenario, batch, rng, hostile) for label in labels]
        comparisons += _compare(members, model, scenario, batch)
        cells += members
    return {
        "schema": "infermatrix.matrix/1",
        "run": {
            "id": "20260301-101500-ab12", "name": f"default{hostile}", "profile": "quick", "seed": 1,
            "started": "2026-03-01T10:15:00Z", "finished": "2026-03-01T10:19:23Z", "command": f"infermatrix run{hostile}",
            "isolation": "docker", "isolation_reason": "an engine answers (Docker 20.10)",
            "infermatrix_version": "0.1.0", "git": "5829c7b-dirty",
            "limits": {"cpus": [0, 1], "memory_mb": 2048, "pids": 4096},
        },
        "hosts": [{
            "name": "local", "fingerprint": "f00dfeed", "cpu_model": f"Example CPU @ 2.6 GHz{hostile}",
            "cpus": [{"id": 0, "core": 0, "llc": 0}, {"id": 1, "core": 1, "llc": 0}], "sockets": 1, "cores": 2,
            "memory_mb": 8192, "kernel": "6.1.0", "os": "Debian 12", "engine": "Docker 20.10.24", "turbo": None,
            "null_reasons": {"turbo": "the kernel does not show it here"},
            "states": [
                {"id": "fast", "trials": 88, "compute_ms": 5.1, "memory_gbps": 9.8, "core_to_core_ns": 66.0, "reference": True},
                {"id": "slow", "trials": 8, "compute_ms": 5.2, "memory_gbps": 9.6, "core_to_core_ns": 351.0, "reference": False},
            ],
        }],
        "images": [{"name": label, "digest": f"sha256:{index:064x}", "reference": f"infermatrix/{label}:abc{hostile}",
                    "size_mb": 310.5 + index, "packages": 12 + index, "source": "built"}
                   for index, label in enumerate(labels)],
        "models": [{"name": model, "sha256": f"{index + 11:064x}",
                    "inputs": [{"name": "input", "dtype": "float", "shape": ["batch", 3, 224, 224]}],
                    "outputs": [{"name": f"output{hostile}", "dtype": "float", "shape": ["batch", 1000]}],
                    "reference_source": "torch float64", "notes": ["weights without training, calibrated"]}
                   for index, model in enumerate(models)],
        "excluded": [{"label": "ncnn", "backend": "ncnn", "model": "minilm", "scenario": "offline", "batch": 64,
                      "why": f"excluded by matrix.yaml, line 14{hostile}"}],
        "cells": cells,
        "comparisons": comparisons,
        "warnings": [f"the machine was in 2 states{hostile}", "no RAPL: energy is absent"],
    }


def large_matrix() -> dict[str, Any]:
    """1,000 cells: 10 labels × 10 models × 10 conditions, about one in seven without a figure."""
    labels = (*LABELS, *(f"ort-setting-{index}" for index in range(6)))
    models = {**MODELS, **{f"model-{index}": 1.5 * 3**index for index in range(6)}}
    conditions = (*(("single_stream", 1),), *(("offline", 2**power) for power in range(1, 10)))
    matrix = sample_matrix(labels=labels, models=models, conditions=conditions)
    for index, cell in enumerate(matrix["cells"]):
        if index % 7 == 3 and not cell["best"]:
            _fail(cell, ("oom", "killed at the memory limit", "measure", "line of a log\n" * 200))
    return matrix


def _cell(label: str, model: str, base_ms: float, scenario: str, batch: int, rng: random.Random,
          hostile: str) -> dict[str, Any]:
    noise = 0.006
    p50 = base_ms * batch**0.93 * SPEED.get(label, 1.2 + 0.17 * (len(label) + ord(label[-1])) % 0.9)
    p50 *= 1 + rng.uniform(-noise, noise) / 4
    half = p50 * noise
    cell: dict[str, Any] = {
        "id": f"{label}-{model}-cpu-fp32-b{batch}-t2-{scenario}-{abs(hash_of(label, model, batch)):08x}",
        "label": label, "backend": label, "backend_version": f"1.{len(label)}.0{hostile}", "settings": {"level": "all"},
        "model": model, "host": "local", "device": "cpu", "isolation": "docker", "precision": "fp32", "batch": batch,
        "threads": 2, "instances": 1, "scenario": scenario, "status": "ok", "reason": None, "phase": None,
        "log_tail": None, "trials": {"asked": 3, "valid": 3, "invalid": []}, "state": "fast",
        "stability": {"verdict": "noisy" if label == "torch" else "stable", "ci_relative_width": 2 * noise, "drift": 0.01,
                      "autocorrelation": 0.1, "null_reasons": {}},
        "metrics": {
            "latency_ms": {"min": p50 * 0.97, "mean": p50 * 1.01, "p50": p50, "p90": p50 * 1.05, "p95": None, "p99": None,
                           "p99_9": None, "ci95": [p50 - half, p50 + half]},
            "throughput_ips": 1000 * batch / p50, "throughput_ci95": [1000 * batch / (p50 + half), 1000 * batch / (p50 - half)],
            "cpu_utilization": 1.93, "cpu_time_s_per_inference": p50 * 1.93e-3 / batch, "threads_seen": 3, "nr_throttled": 0,
            "throttled_s": 0.0, "voluntary_switches_per_s": 812.0, "involuntary_switches_per_s": 3.5,
            "memory_peak_mb": 120.5 + base_ms, "memory_cgroup_peak_mb": 140.25 + base_ms, "memory_delta_mb": 20.0 + batch,
            "container_start_ms": 410.0, "start_ms": 41.0, "import_ms": 212.0, "convert_ms": 850.0 if label == "ncnn" else None,
            "load_ms": 96.0 + base_ms, "compile_ms": 1400.0 if label == "torch" else None, "first_inference_ms": p50 * 3,
            **dict.fromkeys(_METERS), "install_mb": 210.0, "packages": 14,
        },
        "fidelity": {"max_abs": 1.2e-6, "rel_l2": 2.1e-7, "cosine": 0.9999999, "topk_agreement": 1.0, "nan": 0, "inf": 0,
                     "checked": 16, "mismatch_fraction": 0.0, "verdict": "within tolerance", "tolerance": {"rel_l2": 0.02},
                     "reference_source": "torch float64"},
        "evidence": {"device": "cpu", "executed_on": [f"{label} CPU{hostile}"], "fallback": None,
                     "batching": "loop" if label == "ncnn" else "native", "detail": {"nodes": 122}},
        "best": False, "tied_with": [],
        "null_reasons": {
            "metrics.latency_ms.p95": "51 samples per trial; 130 needed",
            "metrics.latency_ms.p99": "51 samples per trial; 662 needed",
            "metrics.latency_ms.p99_9": "51 samples per trial; 6,636 needed",
            "metrics.compile_ms": f"the backend compiles while it loads{hostile}",
            "metrics.convert_ms": "it reads the ONNX file", **{f"metrics.{name}": why for name, why in _METERS.items()},
        },
    }
    if label == "openvino" and batch == 8:
        cell["state"] = "slow"
        cell["trials"] = {"asked": 3, "valid": 3, "invalid": [
            {"trial": 2, "attempt": 0, "reason": f"core-to-core round trip 351 ns at its end, 66 ns at its start{hostile}"}]}
    failure = FAILURES.get((label, model, batch))
    if failure is not None:
        status, reason, phase, log = failure
        _fail(cell, (status, reason + hostile, phase, f"{log}\n{hostile}" if log or hostile else ""))
    return cell


def _fail(cell: dict[str, Any], failure: tuple[str, str, str, str]) -> None:
    cell["status"], cell["reason"], cell["phase"], cell["log_tail"] = failure
    ran = cell["status"] in ("wrong_answer", "fallback", "unstable")
    cell["metrics"] = dict.fromkeys(cell["metrics"])
    cell["metrics"]["latency_ms"] = dict.fromkeys(("min", "mean", "p50", "p90", "p95", "p99", "p99_9", "ci95"))
    cell["null_reasons"] = {"metrics": f"{cell['status']}: {cell['reason']}"}
    if cell["status"] == "wrong_answer":
        cell["fidelity"].update(rel_l2=0.41, mismatch_fraction=0.77, verdict="wrong")
    if ran:
        return
    cell["trials"] = {"asked": 3, "valid": 0, "invalid": [{"trial": 0, "attempt": 1, "reason": cell["reason"]}]}
    cell["fidelity"], cell["evidence"], cell["backend_version"], cell["state"] = None, None, None, None
    cell["stability"] = {"verdict": None, "ci_relative_width": None, "drift": None, "autocorrelation": None,
                         "null_reasons": {"verdict": "no valid trial"}}


def _compare(cells: list[dict[str, Any]], model: str, scenario: str, batch: int) -> list[dict[str, Any]]:
    """As the merge does it: all pairs that have a figure; flags set on the cells."""
    out = []
    measured = [cell for cell in cells if cell["metrics"]["latency_ms"]["p50"] is not None]
    wins: dict[str, int] = {}
    for a, b in combinations(measured, 2):
        ratio = a["metrics"]["latency_ms"]["p50"] / b["metrics"]["latency_ms"]["p50"]
        wide = 1.3 if (model, batch) in UNDECIDED else 1.012
        ends = [ratio / wide, ratio * wide]
        faster = b["id"] if ends[0] > 1.02 else a["id"] if ends[1] < 1 / 1.02 else None
        if faster is not None:
            wins[faster] = wins.get(faster, 0) + 1
        else:
            a["tied_with"].append(b["id"])
            b["tied_with"].append(a["id"])
        out.append({
            "group": {"model": model, "scenario": scenario, "batch": batch, "precision": "fp32", "threads": 2,
                      "instances": 1, "device": "cpu", "host": "local"},
            "a": a["id"], "b": b["id"], "ratio": ratio, "ci": ends, "pairs": 3, "state": "fast",
            "verdict": "decided" if faster is not None else "open" if wide > 1.1 else "tied",
            "needs": {"trials": 12, "seconds": 40.0, "at_least": False} if faster is None and wide > 1.1 else None,
            "decided": faster is not None, "faster": faster,
            "why": "the corrected interval of the ratio includes 1" if faster is None else
            "the corrected interval of the ratio lies beyond the minimum effect of 2 %",
        })
    for cell in measured:
        rivals = [c for c in measured if c is not cell]
        beats = all(any(o["faster"] == cell["id"] for o in out if {o["a"], o["b"]} == {cell["id"], r["id"]}) for r in rivals)
        cell["best"] = bool(rivals) and beats
    return out


def hash_of(*parts: object) -> int:
    """The same in every process, unlike hash()."""
    return random.Random(repr(parts)).getrandbits(32)
