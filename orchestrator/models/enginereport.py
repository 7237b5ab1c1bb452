"""What a child of `reference.py` tells its parent, which itself loads no engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the child found; `error` is None where outputs were written."""

    error: str | None
    samples: int = 0  # rows written; fewer than given where outputs are large or of varying shape
    batch_error: str | None = None  # why stacking rows is not the same as running them one by one
    repeatable: bool = True  # the same input gave the same output twice
    varying_shapes: bool = False
    seconds: float = 0.0
