"""The conformance job: tests of the ONNX project one after the other, in a child process that may die of any of them.

Outcomes are appended to DIR/outcomes.jsonl as they come, so that a job which is ended keeps what it has. A process is used
for many tests, for an import may take seconds; a test that crashed, hung, ran out of memory or raised in a process that
had run others is tried again in one of its own, and that attempt counts.
"""

import json
import os
import shutil
import tempfile
from typing import Any, Dict, List, Mapping, Optional

import meters
from conformance_worker import Limits, Worker
from events import EventLog, plain
from job import JobError

OUTCOMES_FILE = "outcomes.jsonl"
ARTIFACTS = "artifact"
RECYCLE_AFTER = 200  # tests in one process: what leaks must not be held against the last ones
ENOUGH_AGREED = 10  # raised errors that were the same in a fresh process, until that is believed of the others
ENOUGH_DIFFERED = 2  # … and those that were not, until every test gets a fresh process
STAGES = ("convert", "run")
_KEPT = ("status", "phase", "reason", "ms", "native", "executed_on", "artifact")


def run(job: Mapping[str, Any], out_dir: str, events: EventLog) -> Dict[str, Any]:
    """What the result gets: `phases.import_ms`, `versions`, `conformance` (tests asked for and done, processes used).

    Raises:
        JobError: the job lacks something.
        ImportFailed: not even the first process could import the backend.
    """
    try:
        job = {**job, "settings": dict(job.get("settings") or {}), "artifacts_out": os.path.join(out_dir, ARTIFACTS)}
        tests = _tests(job)
        limits = Limits(test_s=float(job["test_s"]), import_s=float(job["import_s"]), memory_mb=int(job["memory_mb"]))
        threads = int(job["threads"])
        if job["stage"] == "convert":
            str(job["output"])  # the format that is wanted, where a conversion makes several
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise JobError("the job of conformance tests cannot be used: {!r}".format(error)) from None
    if job["stage"] not in STAGES:
        raise JobError("the stage is one of {}".format(", ".join(STAGES)))
    meters.set_thread_variables(threads)
    with tempfile.TemporaryDirectory(prefix="infermatrix-conformance-") as scratch:
        own = os.path.join(scratch, "job.json")
        with open(own, "w", encoding="utf-8") as file:
            json.dump(job, file)
        crew = _Crew(own, os.path.join(scratch, "log"), limits)
        sink = os.open(os.path.join(out_dir, OUTCOMES_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            crew.start()
            for number, test in enumerate(tests):
                if number % 50 == 0:
                    events.emit("verify", note="{} of {} tests".format(number, len(tests)))
                outcome = crew.outcome(test)
                if job["stage"] == "convert" and outcome["status"] != "passed":  # what one left half done when it died
                    shutil.rmtree(os.path.join(job["artifacts_out"], test["id"]), ignore_errors=True)
                kept = {name: outcome[name] for name in _KEPT if name in outcome}
                os.write(sink, (json.dumps(plain({"test": test["name"], **kept}), allow_nan=False) + "\n").encode())
        finally:
            crew.stop()
            os.close(sink)
    return {"phases": {"import_ms": sorted(crew.import_ms)[len(crew.import_ms) // 2]}, "versions": crew.versions,
            "conformance": {"asked": len(tests), "processes": len(crew.import_ms), "again": crew.again}}


def _tests(job: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The tests that were asked for, in the suite's order, with what the conversion made for each."""
    with open(os.path.join(job["suite"], "tests.json"), encoding="utf-8") as file:
        known = json.load(file)["tests"]
    wanted, made = set(job["tests"]), dict(job.get("made") or {})
    return [{**test, "artifact": made.get(test["name"])} for test in known if test["name"] in wanted]


class _Crew:
    """One worker at a time, replaced when it dies, is used up, or must be fresh."""

    def __init__(self, job_file: str, log: str, limits: Limits) -> None:
        self._job_file, self._log, self._limits = job_file, log, limits
        self._worker: Optional[Worker] = None
        self._agreed = 0
        self._differed = 0
        self.import_ms: List[float] = []
        self.versions: Dict[str, str] = {}
        self.again = 0

    def start(self) -> Worker:
        """A new process, ready. Raises ImportFailed."""
        self.stop()
        worker = self._worker = Worker(self._job_file, self._log, self._limits)
        told = worker.ready()
        self.import_ms.append(float(told["import_ms"]))
        self.versions = dict(told["versions"])
        return worker

    def stop(self) -> None:
        """No process is left."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def outcome(self, test: Mapping[str, Any]) -> Dict[str, Any]:
        """Of one test; of the fresh attempt where there had to be one."""
        worker = self._usable()
        others = worker.asked
        first = worker.ask(test)
        if not others or not self._doubtful(first):
            return first
        self.again += 1
        second = self.start().ask(test)
        if not first.get("died"):
            same = first["status"] == second["status"]
            self._agreed += same
            self._differed += not same
        return second

    def _doubtful(self, outcome: Mapping[str, Any]) -> bool:
        """Whether what earlier tests left in the process could be the cause."""
        if outcome.get("died") or outcome["status"] == "out_of_memory":
            return True
        return bool(outcome.get("raised")) and (self._agreed < ENOUGH_AGREED or self._differed > 0)

    def _usable(self) -> Worker:
        worker = self._worker
        if worker is None or not worker.alive or worker.asked >= RECYCLE_AFTER:
            return self.start()
        if worker.asked and (self._differed >= ENOUGH_DIFFERED or worker.resident_mb > self._limits.memory_mb / 2):
            return self.start()
        return worker
