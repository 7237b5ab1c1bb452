"""When an output is wrong: the one place that holds measured fidelity against a model's tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# fp32 backends sit at 1e-6…1e-4 relative from float64 on the models tried; the one known offender at 3e-3.
DEFAULT_TOLERANCE: Mapping[str, float] = {"rel_l2": 1e-3, "cosine": 0.999, "mismatch_fraction": 0.01}


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
    cosine = fidelity.get("cosine")
    if cosine is not None:
        compared += 1
        if cosine < limits["cosine"]:
            return f"cosine {cosine:.6f} to the reference, {limits['cosine']:g} required"
    return None if compared else "no output was compared with the reference"
