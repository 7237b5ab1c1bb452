"""The process that a cold start measures: a plain trial that also notes what it had used when its first answer was there."""

import resource
import time
from typing import Any, Dict

import trial
from job import CellJob
from meters import PeakMeter


class Trial(trial.Trial):
    """Adds `first` to the result: figures at the moment of the first answer, and the highest memory until the loop."""

    def _cell(self, cell: CellJob) -> Dict[str, Any]:
        loading_mb = PeakMeter.peak_mb()  # before the cell resets it
        measured = super()._cell(cell)
        self.result.setdefault("first", {})["loading_peak_mb"] = loading_mb
        return measured

    def _refuse_fallback(self) -> None:
        answered = time.monotonic()
        own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        self.result["first"] = {
            "wall_ms": (answered - self._began) * 1e3,
            # a compiler that the backend starts is part of what a start costs
            "cpu_s": own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime,
            "major_faults": own.ru_majflt,
        }
        super()._refuse_fallback()
