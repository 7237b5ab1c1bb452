"""matrix.csv and matrix.parquet: one flat row per cell, always the same columns in the same order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.report.cells import CellView, items, part
from orchestrator.report.metrics import METRICS
from orchestrator.report.text import clean
from orchestrator.report.units import finite
from orchestrator.report.view import build_view

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_TEXT = pa.string()
_NUMBER = pa.float64()
_INTEGER = pa.int64()
_TRUTH = pa.bool_()

_INTERVALS = ("latency_ms.p50", "throughput_ips")
_FIDELITY = ("max_abs", "rel_l2", "cosine", "topk_agreement", "mismatch_fraction", "nan", "inf", "checked")
_STABILITY = ("ci_relative_width", "drift", "autocorrelation")
_KINDS = {**dict.fromkeys(("batch", "threads", "instances"), _INTEGER)}
_PLACE = ("id", "label", "backend", "backend_version", "settings", "compiled", "model", "host", "device", "isolation",
          "precision", "batch", "threads", "instances", "scenario", "options", "status", "reason", "phase")

SCHEMA: pa.Schema = pa.schema([
    ("run_id", _TEXT), ("run_started", _TEXT), ("host_fingerprint", _TEXT), ("model_sha256", _TEXT),
    *((name, _KINDS.get(name, _TEXT)) for name in _PLACE),
    ("best", _TRUTH), ("tied_with", _TEXT), ("trials_asked", _INTEGER), ("trials_valid", _INTEGER),
    ("trials_invalid", _INTEGER), ("state", _TEXT), ("stability", _TEXT),
    *((f"stability_{name}", _NUMBER) for name in _STABILITY),
    *((metric.column, _NUMBER) for metric in METRICS),
    ("latency_ms_ci95_low", _NUMBER), ("latency_ms_ci95_high", _NUMBER),
    ("throughput_ci95_low", _NUMBER), ("throughput_ci95_high", _NUMBER),
    *((f"fidelity_{name}", _NUMBER) for name in _FIDELITY),
    ("accuracy_top1", _NUMBER), ("accuracy_correct", _INTEGER), ("accuracy_n", _INTEGER), ("accuracy_ci95_low", _NUMBER),
    ("accuracy_ci95_high", _NUMBER),
    ("executed_on", _TEXT), ("batching", _TEXT), ("null_reasons", _TEXT),
])


def flat_rows(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per cell in the matrix's order; a value that is missing or not finite is None.

    Metrics of a status that forbids comparing them (a wrong answer) are kept: the `status` column says what they are.
    """
    run = part(matrix, "run")
    prints = {h.get("name"): h.get("fingerprint") for h in items(matrix.get("hosts")) if isinstance(h, Mapping)}
    sums = {m.get("name"): m.get("sha256") for m in items(matrix.get("models")) if isinstance(m, Mapping)}
    rows = []
    for cell in build_view(matrix).cells:
        found: dict[str, Any] = {
            "run_id": run.get("id"), "run_started": run.get("started"),
            "host_fingerprint": prints.get(cell.raw.get("host")), "model_sha256": sums.get(cell.raw.get("model")),
            **{name: cell.raw.get(name) for name in _PLACE}, **_figures(cell), **_judgement(cell),
        }
        rows.append({field.name: _typed(found.get(field.name), field.type) for field in SCHEMA})
    return rows


def csv_text(matrix: Mapping[str, Any]) -> str:
    """RFC 4180 with \\n; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SCHEMA.names)
    writer.writerows([_csv_value(value) for value in row.values()] for row in flat_rows(matrix))
    return out.getvalue()


def parquet_bytes(matrix: Mapping[str, Any]) -> bytes:
    """The same rows, typed; nulls are nulls."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(flat_rows(matrix), schema=SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _figures(cell: CellView) -> dict[str, Any]:
    accuracy = part(cell.raw, "accuracy")
    low, high = [*items(accuracy.get("ci95")), None, None][:2]
    latency, throughput = (cell.interval(path) or (None, None) for path in _INTERVALS)
    return {
        **{metric.column: cell.value(metric.path) for metric in METRICS},
        "latency_ms_ci95_low": latency[0], "latency_ms_ci95_high": latency[1],
        "throughput_ci95_low": throughput[0], "throughput_ci95_high": throughput[1],
        **{f"fidelity_{name}": part(cell.raw, "fidelity").get(name) for name in _FIDELITY},
        **{f"accuracy_{name}": accuracy.get(name) for name in ("top1", "correct", "n")},
        "accuracy_ci95_low": low, "accuracy_ci95_high": high,
    }


def _judgement(cell: CellView) -> dict[str, Any]:
    trials, stability, evidence = (part(cell.raw, key) for key in ("trials", "stability", "evidence"))
    invalid, executed = trials.get("invalid"), evidence.get("executed_on")
    return {
        "best": cell.is_best, "tied_with": sorted(cell.tied_with) or None,
        "trials_asked": trials.get("asked"), "trials_valid": trials.get("valid"),
        "trials_invalid": len(items(invalid)) if invalid is not None else None,
        "state": cell.raw.get("state"), "stability": stability.get("verdict"),
        **{f"stability_{name}": stability.get(name) for name in _STABILITY},
        "executed_on": ", ".join(map(str, items(executed))) or None, "batching": evidence.get("batching"),
        "null_reasons": cell.raw.get("null_reasons") or None,
    }


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None or kind == _TRUTH:
        return value
    if kind == _TEXT:
        return clean(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))
    number = finite(value)
    return number if number is None or kind == _NUMBER else int(number)


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value)
