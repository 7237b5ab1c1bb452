"""How tests ended, believed: the values that the run of a suite hands to its summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class TestStatus(str, Enum):
    """How one test ended."""

    __test__ = False  # no test of pytest's

    PASSED = "passed"  # the right answer, by the backend's own operators
    FAILED = "failed"  # a wrong answer, or an error
    UNSUPPORTED = "unsupported"  # the backend, or its converter, says that it has not what the test needs
    FALLBACK = "fallback"  # the answer came from elsewhere than the backend's own operators: it does not count
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_RUN = "not_run"  # the host or the engine failed: asked again by the next run


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one test ended."""

    status: TestStatus
    phase: str | None = None  # where; null where it passed
    reason: str | None = None
    ms: float | None = None
    native: bool | None = None  # the adapter's evidence says that the backend's own operators did it; null: it cannot say
    executed_on: tuple[str, ...] = ()
    artifact: Mapping[str, str] | None = None  # of a conversion: format and file

    @staticmethod
    def of(raw: Mapping[str, Any]) -> Outcome:
        """From a line that `protocol.read_outcomes` has checked, or from `to_json`."""
        return Outcome(
            status=TestStatus(raw["status"]), phase=raw.get("phase"), reason=raw.get("reason"), ms=raw.get("ms"),
            native=raw.get("native"), executed_on=tuple(raw.get("executed_on") or ()), artifact=raw.get("artifact"),
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for the cache of finished parts."""
        return {
            "status": self.status.value, "phase": self.phase, "reason": self.reason, "ms": self.ms, "native": self.native,
            "executed_on": list(self.executed_on),
        }
