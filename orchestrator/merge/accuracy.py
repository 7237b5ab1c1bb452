"""A cell's accuracy on its model's labelled data set: a share with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NO_SET = "the model has no labelled data set"
NOT_TRIED = "no trial got as far as the labelled data set, or the model has none"
_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): unlike the usual ± it stays within 0 … 1 and holds near the ends."""
    share, z2 = correct / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if correct == 0 else max(0.0, middle - half)
    return low, 1.0 if correct == n else min(1.0, middle + half)


def accuracy_of(records: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any] | None, str]:
    """({metric, top1, correct, n, ci95}, "") or (None, why); where several trials counted, the worst of them."""
    found, reasons = [], []
    for record in records:
        measurement = record.get("measurement") or {}
        if measurement.get("accuracy"):
            found.append(measurement["accuracy"])
        elif "accuracy" in measurement:
            reasons.append((measurement.get("null_reasons") or {}).get("accuracy") or NOT_TRIED)
    if not found:
        measured = any((record.get("measurement") or {}).get("fidelity") for record in records)
        return None, reasons[0] if reasons else NO_SET if measured else NOT_TRIED
    worst = min(found, key=lambda one: (one["correct"] / one["n"], one["n"]))
    correct, n = int(worst["correct"]), int(worst["n"])
    return {"metric": worst["metric"], "top1": correct / n, "correct": correct, "n": n, "ci95": list(wilson(correct, n))}, ""
