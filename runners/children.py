"""A job in a process of its own: the same runner, the same interpreter, started from this one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, Mapping

from events import EVENTS_FILE, RESULT_FILE
from failures import Broken

_RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")


class Relayed(Broken):
    """What a child says went wrong, as this trial's own failure."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        Exception.__init__(self, failure["message"])
        self.failure = dict(failure)


def run_child(job: Mapping[str, Any], folder: str, environment: Mapping[str, str]) -> Dict[str, Any]:
    """The complete result of `job`, done by a new process with `environment` on top of this one's.

    Its `phases.start_ms` is from just before it was created, on the clock that both processes read. What it prints goes
    where this process prints.

    Raises:
        Relayed: it failed, crashed or was killed.
    """
    out = os.path.join(folder, "out")
    os.makedirs(out)
    stamped = {**job, "die_with_parent": True, "spawned": time.monotonic()}
    command = [sys.executable, _RUNNER, "--job-json", json.dumps(stamped), "--out", out]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        code = process.wait()
    finally:  # also where this trial is told to end
        if process.poll() is None:
            process.kill()
            process.wait()
    result = _result(out)
    if result.get("failure"):
        raise Relayed(result["failure"])
    if code != 0 or not result.get("complete"):
        raise Relayed({"phase": _last_phase(out), "kind": "error", "message": _ending(code)})
    return result


def _result(out: str) -> Dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(os.path.join(out, RESULT_FILE), encoding="utf-8") as file:
        return dict(json.load(file))
    return {}


def _last_phase(out: str) -> str:
    phase = "start"
    with contextlib.suppress(OSError, ValueError, KeyError), open(os.path.join(out, EVENTS_FILE), encoding="utf-8") as file:
        for line in file:
            phase = str(json.loads(line)["phase"])
    return phase


def _ending(code: int) -> str:
    if code >= 0:
        return "the started process ended with code {}".format(code)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return "the started process was killed by signal {} ({})".format(-code, name)
