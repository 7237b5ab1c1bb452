"""When an output is wrong: the one place that holds measured fidelity against a model's tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# fp32 backends sit at 1e-6…1e-4 relative from float64 on the models tried; the one known offender at 3e-3.
DEFAULT_TOLERANCE: Mapping[str, float] = {"rel_l2": 1e-3, "cosine": 0.999, "mismatch_fraction": 0.01}
# One rounding to p significant bits errs by up to 2^-p: 5e-4 (fp16, tf32), 4e-3 (bf16). An output is the end of some tens
# of layers, whose errors add up like a random walk: about ten times that. A tensor of 256 levels over its whole range errs
# by 1 % or so of its norm; tens of layers: ten times that. Beyond these limits something else than rounding is at work,
# or the model amplifies it so far that it does not bear the precision.
PRECISION_TOLERANCE: Mapping[str, Mapping[str, float]] = {
    "fp32": DEFAULT_TOLERANCE,
    "tf32": {"rel_l2": 5e-3, "cosine": 0.999, "mismatch_fraction": 0.02},
    "fp16": {"rel_l2": 5e-3, "cosine": 0.999, "mismatch_fraction": 0.02},
    "bf16": {"rel_l2": 4e-2, "cosine": 0.998, "mismatch_fraction": 0.05},
    "int8": {"rel_l2": 1e-1, "cosine": 0.99, "mismatch_fraction": 0.1},
}
AT_LEAST = frozenset({"cosine", "topk_agreement"})  # limits from below; the others are from above


def tolerance_for(
    precision: str, own: Mapping[str, float], given: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """The limits that a cell of this precision is held to.

    `own`: the model's in fp32; where one of them is wider than the precision's default, the model is a delicate one in any
    precision, so the wider holds. `given`: what the user set for single precisions, which counts whatever the others say.
    """
    defaults = PRECISION_TOLERANCE.get(precision, DEFAULT_TOLERANCE)
    limits = dict(own) if precision == "fp32" else {}
    for name, limit in defaults.items():
        mine = own.get(name, limit)
        if precision == "fp32":
            limits[name] = mine
        else:
            limits[name] = min(limit, mine) if name in AT_LEAST else max(limit, mine)
    if "topk_agreement" in own:  # whose answers must agree is no matter of rounding
        limits["topk_agreement"] = own["topk_agreement"]
    return {**limits, **given.get(precision, {})}


def wrong_answer_reason(
    fidelity: Mapping[str, Any] | None, tolerance: Mapping[str, float], incomparable: str | None = None
) -> str | None:
    """Why the outputs do not count as the model's, in a sentence; None where they do.

    A measure that is missing on both sides is not held against the backend, but nothing measured at all is.
    `incomparable`: why no two right answers of the model need agree; then outputs must only exist, in the right shape.
    """
    if not fidelity or not fidelity.get("checked"):
        problem = (fidelity or {}).get("problem")
        return str(problem) if problem else "no output was compared with the reference"
    if incomparable:
        return None
    for name, what in (("nan", "NaN"), ("inf", "infinite")):
        if fidelity.get(name):
            return f"{fidelity[name]} {what} values where the reference has none"
    limits = {**DEFAULT_TOLERANCE, **tolerance}
    compared = 0
    for name in ("rel_l2", "mismatch_fraction", "max_abs"):
        value, limit = fidelity.get(name), limits.get(name)
        if value is not None and limit is not None:
            compared += 1
            if value > limit:
                return f"{name} {value:.3g} from the reference, {limit:g} allowed"
    for name in sorted(AT_LEAST):
        value, limit = fidelity.get(name), limits.get(name)
        if value is not None and limit is not None:
            compared += 1
            if value < limit:
                return f"{name.replace('topk', 'top-1')} {value:.6f} to the reference, {limit:g} required"
    return None if compared else "no output was compared with the reference"
