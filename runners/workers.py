"""Processes of a trial that consists of several: each this very runner with a job of its own, on its own CPUs.

They are started anew, not forked: whatever this process has imported, started or allocated is not in them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from cgroups import Cgroup, Missing
from events import EVENTS_FILE, RESULT_FILE

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")
_EXIT_S = 10.0  # from the end of its channel to the end of its process
_UNTOLD = ("gate", "instances", "members")


@dataclass(frozen=True)
class Trouble:
    """Why a worker did not do what it was started for."""

    worker: str  # "instance 2 of 4"
    status: str  # of the cell: unsupported, oom, failed or skipped
    reason: str
    phase: str
    failure: Optional[Mapping[str, Any]] = None  # its own result's, where it never came to the cell

    @property
    def sentence(self) -> str:
        return "{}: {}".format(self.worker, self.reason)


@dataclass
class Worker:
    """One process and the socket to it."""

    name: str
    cpus: List[int]
    out: str
    channel: socket.socket
    process: "subprocess.Popen[bytes]"
    ready: Optional[Dict[str, Any]] = None  # what it said when it was warmed up

    def phase(self) -> str:
        """The last phase that it entered."""
        try:
            with open(os.path.join(self.out, EVENTS_FILE), encoding="utf-8") as file:
                return str(json.loads(file.read().splitlines()[-1])["phase"])
        except (OSError, ValueError, IndexError):
            return "start"

    def result(self) -> Optional[Dict[str, Any]]:
        """What it left, complete or not; None where that is nothing."""
        try:
            with open(os.path.join(self.out, RESULT_FILE), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError):
            return None

    def wait(self) -> Optional[int]:
        """Its exit code, negative for a signal; None where it does not end though its channel has."""
        try:
            return self.process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            return None


@dataclass
class Crew:
    """All workers of one cell; leaves no process behind, however the `with` block ends."""

    folder: str
    cgroup: Cgroup
    workers: List[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kills = self._oom_kills()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def start(self, name: str, job: Mapping[str, Any], cpus: Sequence[int], **descriptors: int) -> Worker:
        """Start the runner with `job` on `cpus`; `descriptors` are handed on in its `gate`, beside the channel's own."""
        number = len(self.workers)
        out, cache = (os.path.join(self.folder, "{}-{}".format(what, number)) for what in ("out", "cache"))
        os.makedirs(out)
        os.makedirs(cache)
        ours, theirs = socket.socketpair()
        gate = {"channel": theirs.fileno(), "number": number, **descriptors}
        own = {key: value for key, value in job.items() if key not in _UNTOLD}
        own = {**own, "gate": gate, "die_with_parent": True, "probe": {"enabled": False}, "cache_dir": cache}
        path = os.path.join(self.folder, "job-{}.json".format(number))
        with open(path, "w", encoding="utf-8") as file:
            json.dump(own, file)
        passed = [theirs.fileno(), *(value for key, value in descriptors.items() if key == "flags")]
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, set(cpus))  # a child inherits it from the thread that starts it: no code runs in between
        try:
            process = subprocess.Popen([sys.executable, RUN, "--job", path, "--out", out], stdin=subprocess.DEVNULL,
                                       pass_fds=passed)
        finally:
            os.sched_setaffinity(0, allowed)
            theirs.close()
        worker = Worker(name, list(cpus), out, ours, process)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        """End and reap every worker."""
        for worker in self.workers:
            worker.channel.close()
            if worker.process.poll() is None:
                worker.process.kill()
        for worker in self.workers:
            worker.process.wait()

    def trouble(self, worker: Worker, cell: str) -> Optional[Trouble]:
        """What went wrong with a worker whose channel has ended; None where its cell is measured."""
        code, result, phase = worker.wait(), worker.result() or {}, worker.phase()
        if code is None:
            return Trouble(worker.name, "failed", "it measured, and then did not end", phase)
        if result.get("failure"):
            failure = result["failure"]
            return Trouble(worker.name, "failed", str(failure["message"]), str(failure["phase"]), failure)
        found: Dict[str, Any] = next((one for one in result.get("cells", ()) if one["id"] == cell), {})
        if found and found["status"] != "ok":
            return Trouble(worker.name, str(found["status"]), str(found["reason"]), str(found["phase"]))
        if found and result.get("complete"):
            return None
        return self._ended(worker, code, phase)

    def _ended(self, worker: Worker, code: int, phase: str) -> Trouble:
        if code != -signal.SIGKILL:
            return Trouble(worker.name, "failed", _of_exit(code), phase)
        before, now = self._kills, self._oom_kills()
        if before is not None and now is not None and now > before:
            return Trouble(worker.name, "oom", "killed for exceeding the memory limit", phase)
        return Trouble(worker.name, "failed", _of_exit(code), phase)

    def _oom_kills(self) -> Optional[int]:
        try:
            return self.cgroup.oom_kills()
        except (Missing, ValueError):
            return None


def _of_exit(code: int) -> str:
    if code >= 0:
        return "it exited with code {} and left no result".format(code)
    try:
        return "killed by signal {} ({})".format(-code, signal.Signals(-code).name)
    except ValueError:
        return "killed by signal {}".format(-code)
