"""The `server` scenario: Poisson arrivals by MLCommons LoadGen, each cell in a child process with a deadline.

LoadGen crashes on an exception in its callbacks and waits for ever for a lost answer. Both end the child only: the cell
gets a status, and the trial's other cells are measured in children of their own.
"""

import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Optional, Tuple

import probe
from cell import not_run
from events import RESULT_FILE
from job import CellJob
from trial import Trial as PlainTrial

from scenarios.serving import write_child_job

MODULE = "mlperf_loadgen"
PREPARE_S = 60.0  # to import, load, compile and warm up, beside twice the cell's own time
GRACE_S = 10.0  # for a child that measures, beyond the cell's own time
_PHASES = {"i": "import", "l": "load", "c": "compile", "w": "warmup", "m": "measure", "v": "verify"}
_LATE = ("m", "v")  # the clock of the cell's own time runs


class Trial(PlainTrial):
    """One child per cell; their results become this trial's."""

    def run(self, import_began: float, prober: Optional[probe.Prober]) -> None:
        """As the plain trial's; nothing is imported or loaded in this process."""
        del import_began
        for cell in self._job.cells:
            if importlib.util.find_spec(MODULE) is None:
                reason = ("this environment has no {} (mlcommons-loadgen), which makes the requests: there is no wheel of it for "
                          "every Python and machine").format(MODULE)
                self.result["cells"].append(not_run(cell, "unsupported", reason))
                continue
            self._take(self._child(cell))
            self.save()
            if self.result["failure"] is not None:
                break
        if prober is not None:
            self._settled_probe(prober)
        self.result["complete"] = True
        self.save()

    def _child(self, cell: CellJob) -> Dict[str, Any]:
        """What the child reported, with the cell's ending filled in where it could not."""
        folder = tempfile.mkdtemp(prefix="infermatrix-server-")
        try:
            phase, ending = self._supervise(cell, folder)
            found = _read(os.path.join(folder, RESULT_FILE))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if ending is not None and not found.get("failure") and not any(one["id"] == cell.id for one in found.get("cells", ())):
            found.setdefault("cells", []).append(not_run(cell, ending[0], ending[1], phase))
        return found

    def _supervise(self, cell: CellJob, folder: str) -> Tuple[str, Optional[Tuple[str, str]]]:
        """(the last phase entered, the status and reason of a child that crashed or had to be killed)."""
        job_file = os.path.join(folder, "job.json")
        write_child_job(self._job, cell, job_file)
        reading, writing = os.pipe()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "serving.py")
        command = [sys.executable, script, "--job", job_file, "--out", folder, "--events", self._out,
                   "--began", repr(self._began), "--stages", str(writing)]
        child = subprocess.Popen(command, pass_fds=(writing,), stdin=subprocess.DEVNULL)
        os.close(writing)
        phase, deadline, what = "import", time.monotonic() + PREPARE_S + 2 * cell.max_cell_s, "prepare"
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return phase, ("skipped", _hung(what, cell))
                if select.select([reading], [], [], min(left, 1.0))[0]:
                    told = os.read(reading, 64).decode("ascii", "replace")
                    if told:
                        phase = _PHASES.get(told[-1], phase)
                        if told[-1] in _LATE and what == "prepare":
                            deadline, what = time.monotonic() + cell.max_cell_s + GRACE_S, "measure"
                        continue
                    left = max(0.1, deadline - time.monotonic())  # it closed its end: it is about to end
                    try:
                        return phase, _ended(child.wait(left))
                    except subprocess.TimeoutExpired:
                        return phase, ("skipped", _hung(what, cell))
                code = child.poll()
                if code is not None:
                    return phase, _ended(code)
        finally:
            os.close(reading)
            if child.poll() is None:
                child.kill()
            child.wait()

    def _take(self, found: Dict[str, Any]) -> None:
        result = self.result
        result["cells"] += found.get("cells", [])
        result["versions"].update(found.get("versions") or {})
        for name, value in (found.get("phases") or {}).items():
            if name != "total_ms" and result["phases"].get(name) is None:
                result["phases"][name] = value
        result["evidence"] = found.get("evidence") or result["evidence"]
        result["failure"] = found.get("failure")
        for name, why in (found.get("null_reasons") or {}).items():
            if name.startswith(("phases.", "evidence", "memory.")):
                result["null_reasons"].setdefault(name, why)


def _hung(what: str, cell: CellJob) -> str:
    if what == "prepare":
        return "it was not ready to serve after {:g} s".format(PREPARE_S + 2 * cell.max_cell_s)
    return ("it hung while it served: a request was never answered, or a run took more than the {:g} s that a cell may take; its "
            "process was killed").format(cell.max_cell_s)


def _ended(code: int) -> Optional[Tuple[str, str]]:
    """None for a child that ended well."""
    if code == 0:
        return "failed", "its process ended without a result"  # counts only where there is none
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        return "failed", "the process in which it served was killed by signal {} ({})".format(-code, name)
    return "failed", "the process in which it served exited with code {}".format(code)


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
