"""What can be asked for energy: a counter with a name, and what it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class SourceKind(str, Enum):
    """Whose energy a counter counts."""

    CPU = "cpu"  # processor packages and their memory
    GPU = "gpu"  # the whole board


@dataclass(frozen=True, kw_only=True)
class EnergySource:
    """One counter. `read` gives joules since some moment and raises AbsentError."""

    name: str  # package-0, package-0-dram, GPU-<uuid>
    kind: SourceKind
    meter: str  # how it is measured, in words
    read: Callable[[], float]
    modulus_j: float | None = None  # where it begins again at zero
