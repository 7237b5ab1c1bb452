"""What comparisons need of a cell: one figure per trial that counts, by machine state and round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Series:
    """The medians of a cell's valid trials: `medians_ms[state][round]`."""

    id: str
    group: tuple[tuple[str, Any], ...]  # what must be equal for a comparison to make sense, in a fixed order
    medians_ms: Mapping[str, Mapping[int, float]]
    # What a fixed piece of work took meanwhile, in µs: (the measuring thread's CPU, all CPUs of the trial). A trial without
    # readings is missing.
    clocks: Mapping[str, Mapping[int, tuple[float, float]]] = field(default_factory=dict)
