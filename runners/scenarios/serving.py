"""The child in which LoadGen and the backend live: one cell of the server scenario, measured or explained.

    python serving.py --job FILE --out DIR [--stages FD]

The job is the trial's with one cell; DIR/result.json becomes a trial's result. Each phase entered is told on the
file descriptor by its first letter, so that `server.py` knows how long to wait.
"""

import time

_ENTERED = time.monotonic()  # before numpy is imported, whose time is part of the import phase

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from typing import Any, Dict, List, Optional  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import older  # noqa: E402
import probe  # noqa: E402
from events import EventLog  # noqa: E402
from job import CellJob, TrialJob, read_job, trial_job  # noqa: E402
from trial import Trial as PlainTrial  # noqa: E402

from scenarios.serverun import serve_cell  # noqa: E402

SWITCH_S = 0.0005  # a thread that holds Python's lock gives it up after so long: LoadGen's must hand over requests in time


class Events(EventLog):
    """Also tells the parent which phase was entered."""

    def __init__(self, folder: str, began: float, stages: Optional[int]) -> None:
        super().__init__(folder, began)
        self._stages = stages

    def emit(self, phase: str, cell: Optional[str] = None, note: str = "") -> None:
        """As ever."""
        super().emit(phase, cell, note)
        if self._stages is not None:
            os.write(self._stages, phase[:1].encode())


class Trial(PlainTrial):
    """Loads as every trial does, and then serves instead of calling in a loop."""

    def _run_cell(self, cell: CellJob) -> Dict[str, Any]:
        assert self._bench is not None
        return serve_cell(self._bench, cell)

    def _note_evidence(self, *, final: bool = False) -> None:
        super()._note_evidence(final=final)
        if self.result["evidence"]:
            from importlib.metadata import version  # Python 3.8; no older one has LoadGen

            self.result["evidence"]["detail"]["mlcommons-loadgen"] = version("mlcommons-loadgen")


def write_child_job(job: TrialJob, cell: CellJob, path: str) -> None:
    """The job of a child that measures that cell alone."""
    cells = [raw for raw in job.raw["cells"] if raw["id"] == cell.id]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**job.raw, "cells": cells}, file)


def empty_result(job: TrialJob) -> Dict[str, Any]:
    """What a trial's result holds before anything is known."""
    return {"trial": job.trial, "complete": False, "failure": None, "versions": {}, "phases": {}, "null_reasons": {}}


def main(arguments: Optional[List[str]] = None) -> int:
    """Measures; the exit code is 0 whenever a complete result was written."""
    parser = argparse.ArgumentParser(prog="serving.py", description="Measures one server cell; started by server.py.")
    parser.add_argument("--job", required=True, metavar="FILE", help="the job, as JSON")
    parser.add_argument("--out", required=True, metavar="DIR", help="where result.json goes")
    parser.add_argument("--events", required=True, metavar="DIR", help="where events.jsonl lies")
    parser.add_argument("--began", required=True, type=float, metavar="S", help="when the trial began, on the monotonic clock")
    parser.add_argument("--stages", type=int, metavar="FD", help="told the first letter of every phase")
    options = parser.parse_args(arguments)
    older.fill_gaps()
    probe.die_with_parent(os.getppid())
    sys.setswitchinterval(SWITCH_S)
    job = trial_job(read_job(options.job))
    trial = Trial(job, empty_result(job), options.out, Events(options.events, options.began, options.stages), _ENTERED)
    trial.run(_ENTERED, None)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # LoadGen's and the backend's threads need not be torn down; the result is on disk
