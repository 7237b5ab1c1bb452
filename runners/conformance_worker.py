"""The parent's end of a process that runs conformance tests: asks one at a time, and outlives whatever becomes of it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from failures import Broken

LOOK_S = 0.05  # how often time and memory are looked at
MAX_LOG_BYTES = 4 << 20
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "conformance_child.py")


class ImportFailed(Broken):
    """The process did not get as far as its first test."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        Exception.__init__(self, failure["message"])
        self.failure = dict(failure)


@dataclass(frozen=True)
class Limits:
    """What one test, and the import before the first, may take."""

    test_s: float
    import_s: float
    memory_mb: int


class Worker:
    """One process; `ask` gives an outcome in any case, after which `alive` says whether there can be another."""

    def __init__(self, job_file: str, log: str, limits: Limits) -> None:
        self._limits = limits
        self._log = log
        self._buffer = b""
        self._phase = "start"
        self.asked = 0
        read, write = os.pipe()
        self._answers = read
        try:
            with open(log, "ab") as sink:
                self._process = subprocess.Popen(
                    [sys.executable, _CHILD, "--job", job_file, "--answers", str(write)], stdin=subprocess.PIPE,
                    stdout=sink, stderr=subprocess.STDOUT, pass_fds=(write,))
        finally:
            os.close(write)

    def ready(self) -> Dict[str, Any]:
        """Wait for the import; its time and the versions.

        Raises:
            ImportFailed: it failed, crashed or took too long.
        """
        message = self._receive(self._limits.import_s, ("ready", "failure"))
        if "ready" in message:
            return dict(message["ready"])
        self.stop()
        outcome = message.get("outcome")
        raise ImportFailed(message.get("failure") or {"phase": "import", "kind": "error", "message": outcome["reason"]})

    def ask(self, test: Mapping[str, Any]) -> Dict[str, Any]:
        """The outcome of one test: `status`, `phase`, `reason`, `ms`, and what the child adds."""
        self.asked += 1
        self._phase = "start"
        self._size_before = os.path.getsize(self._log)
        if self._size_before > MAX_LOG_BYTES:
            os.truncate(self._log, 0)
            self._size_before = 0
        try:
            assert self._process.stdin is not None
            self._process.stdin.write((json.dumps(dict(test)) + "\n").encode())
            self._process.stdin.flush()
        except OSError:  # it ended between two tests
            return self._ended(0.0)
        return dict(self._receive(self._limits.test_s, ("outcome",))["outcome"])

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    @property
    def resident_mb(self) -> float:
        """Memory of the process and its descendants that is in RAM now."""
        return sum(_resident(pid) for pid in (self._process.pid, *descendants(self._process.pid)))

    def stop(self) -> None:
        """Kill it with all that it started; nothing is left of it."""
        for pid in (self._process.pid, *descendants(self._process.pid)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1

    def _receive(self, limit_s: float, kinds: "tuple[str, ...]") -> Dict[str, Any]:
        """The next message of one of these kinds; an `outcome` of this side's own where none can come."""
        began = time.monotonic()
        while True:
            message = self._line()
            if message is not None:
                if "phase" in message:
                    self._phase = str(message["phase"])
                elif any(kind in message for kind in kinds):
                    return message
                continue
            waited = time.monotonic() - began
            if waited > limit_s:
                return self._killed("timed_out", "it took longer than {:g} s".format(limit_s), waited)
            used = self.resident_mb
            if used > self._limits.memory_mb:
                why = "it held {:.0f} MB, more than the {} MB that a test may have".format(used, self._limits.memory_mb)
                return self._killed("out_of_memory", why, waited)
            if select.select([self._answers], [], [], LOOK_S)[0]:
                chunk = os.read(self._answers, 1 << 16)
                if not chunk:
                    return {"outcome": self._ended(time.monotonic() - began)}
                self._buffer += chunk

    def _line(self) -> Optional[Dict[str, Any]]:
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value
        return None

    def _killed(self, status: str, reason: str, waited: float) -> Dict[str, Any]:
        self.stop()
        return {"outcome": {"status": status, "phase": self._phase, "reason": reason, "ms": waited * 1e3, "died": True}}

    def _ended(self, waited: float) -> Dict[str, Any]:
        """It ended by itself in the middle of a test."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        reason = _ending(code)
        last = self._last_words()
        return {"status": "crashed", "phase": self._phase, "reason": reason + (": " + last if last else ""),
                "ms": waited * 1e3, "died": True}

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, AttributeError), open(self._log, "rb") as file:
            file.seek(max(self._size_before, os.path.getsize(self._log) - 2_000))
            lines: List[str] = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
            return next((line[-200:] for line in reversed(lines) if line), "")
        return ""


def descendants(pid: int) -> List[int]:
    """Every process below `pid`, as far as the kernel lists them."""
    found: List[int] = []
    todo = [pid]
    while todo:
        current = todo.pop()
        with contextlib.suppress(OSError, ValueError):
            for task in os.listdir("/proc/{}/task".format(current)):
                with open("/proc/{}/task/{}/children".format(current, task)) as file:
                    children = [int(child) for child in file.read().split()]
                found += children
                todo += children
    return found


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/{}/statm".format(pid)) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    return 0.0


def _ending(code: int) -> str:
    if code >= 0:
        return "the process ended with code {}".format(code)
    with contextlib.suppress(ValueError):
        return "the process was killed by signal {} ({})".format(-code, signal.Signals(-code).name)
    return "the process was killed by signal {}".format(-code)
