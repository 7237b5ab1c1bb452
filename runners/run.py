"""The shared runner: one job in, one result out. Runs wherever a backend lives, on Python 3.6 to 3.13 with numpy."""

import time

_ENTERED = time.monotonic()  # before anything is imported: what precedes it is the interpreter's own start

import argparse  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Tuple  # noqa: E402

import older  # noqa: E402
import probe  # noqa: E402
from events import RESULT_PROTOCOL, EventLog, write_result  # noqa: E402
from job import JobError, TrialJob, parse_job, read_job, trial_job  # noqa: E402
from watch import Watch  # noqa: E402

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TERMINATED = 128 + signal.SIGTERM
_WATCHED = {"single_stream", "offline"}  # scenarios of one process with one timed loop
_LONGEST_START_S = 600.0  # more means that the clocks cannot be compared (another time namespace)

_EXAMPLE = """example:
  python run.py --job /mx/io/job.json --out /mx/io/out
  writes out/events.jsonl while it goes and out/result.json after every cell; exit code 0 when the result is complete,
  2 when the job cannot be used, 143 when SIGTERM ended it."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Do the job; returns the exit code. Never parses or hides what a framework prints."""
    parser = argparse.ArgumentParser(
        prog="run.py", description="Runs one job of Infermatrix: a trial, a conversion, an export or conformance tests.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--job", metavar="FILE", help="the job, as JSON")
    given.add_argument("--job-json", metavar="JSON", help="the job itself: spares a container the copying of a file")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the result goes; created if missing")
    options = parser.parse_args(arguments)
    older.fill_gaps()
    os.makedirs(options.out, exist_ok=True)
    started, why_not = _process_start()
    began = _ENTERED if started is None else started
    result = _new_result()
    result["phases"]["start_ms"] = None if started is None else (_ENTERED - started) * 1e3
    if why_not:
        result["null_reasons"]["phases.start_ms"] = why_not
    try:
        raw = read_job(options.job) if options.job_json is None else parse_job(options.job_json, "--job-json")
        result.update(trial=str(raw.get("trial", "")), task=raw["task"])
        job = trial_job(raw) if raw["task"] == "trial" else None
    except JobError as error:
        print("run.py: {}".format(error), file=sys.stderr)
        result.update(failure={"phase": "start", "kind": "error", "message": str(error)})
        write_result(options.out, result)
        return EXIT_USAGE
    if isinstance(raw.get("spawned"), float):  # by another runner on this machine, which read the same clock
        began = raw["spawned"]
        result["phases"]["start_ms"] = (_ENTERED - began) * 1e3
        result["null_reasons"].pop("phases.start_ms", None)
    if raw.get("die_with_parent"):
        probe.die_with_parent(os.getppid())
    events = EventLog(options.out, began)
    events.emit("start", note="pid {}, Python {}".format(os.getpid(), sys.version.split()[0]))
    if job is not None:
        return _trial(job, result, options.out, events, began)
    return _other(raw, result, options.out, events, began)


def _trial(job: TrialJob, result: Dict[str, Any], out: str, events: EventLog, began: float) -> int:
    import meters

    meters.set_thread_variables(job.threads)
    prober = probe.Prober(job.threads * job.instances) if job.probe else None
    watched = job.probe and job.device == "cpu" and {cell.scenario for cell in job.cells} <= _WATCHED
    watch = Watch(sorted(os.sched_getaffinity(0))[:job.threads]) if watched else None
    try:
        result["probes"]["start"] = prober.read() if prober else probe.nothing("the job asks for no probe")
        if prober is None:
            result["probes"]["end"] = result["probes"]["start"]
        _raise_on_sigterm()
        events.emit("import")
        import_began = time.monotonic()
        try:
            import numpy  # noqa: F401

            own_began = time.monotonic()
            from failures import Terminated
            from trial import base_versions, statuses, trial_for
        except ImportError as error:  # numpy is missing or broken
            return _give_up(result, out, "import", error)
        result["phases"]["modules_ms"] = (time.monotonic() - own_began) * 1e3
        import_began += time.monotonic() - own_began  # the runner's own modules are no part of a backend's import
        result["versions"].update(base_versions())
        trial = trial_for(job, result, out, events, began)
        try:
            trial.watch = watch
            trial.run(import_began, prober)
        except Terminated:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            result["failure"] = {"phase": events.phase, "kind": "error", "message": "stopped by SIGTERM"}
            trial.save()
            return EXIT_TERMINATED
        events.emit("verify", note="done: " + statuses(result["cells"]))
        return EXIT_OK
    finally:
        if prober is not None:
            prober.close()
        if watch is not None:
            watch.close()


def _other(raw: Mapping[str, Any], result: Dict[str, Any], out: str, events: EventLog, began: float) -> int:
    """A conversion, an export or conformance tests; its module returns what it adds to the result."""
    task = str(raw["task"])
    events.emit("import" if task == "conformance" else "convert")
    _raise_on_sigterm()
    try:
        from failures import Broken, Terminated, failure
    except ImportError as error:
        return _give_up(result, out, "import", error)
    try:
        if task == "convert":
            import convert as module
        elif task == "conformance":
            import conformance as module
        else:
            import export_zoo as module
        for name, value in (module.run(raw, out, events) or {}).items():
            if isinstance(value, dict) and isinstance(result.get(name), dict):
                result[name].update(value)
            else:
                result[name] = value
    except Terminated:
        result["failure"] = {"phase": events.phase, "kind": "error", "message": "stopped by SIGTERM"}
        write_result(out, result)
        return EXIT_TERMINATED
    except Broken as broken:
        result["failure"] = broken.failure
    except Exception as error:
        result["failure"] = failure(events.phase, error)
    result["complete"] = True
    result["phases"]["total_ms"] = (time.monotonic() - began) * 1e3
    write_result(out, result)
    return EXIT_OK


def _new_result() -> Dict[str, Any]:
    return {"protocol": RESULT_PROTOCOL, "trial": "", "task": "trial", "complete": False, "failure": None, "versions": {},
            "phases": dict.fromkeys(("start_ms", "import_ms", "load_ms", "compile_ms", "total_ms")), "probes": {},
            "cells": [], "null_reasons": {}}


def _give_up(result: Dict[str, Any], out: str, phase: str, error: BaseException) -> int:
    message = "{}: {}".format(type(error).__name__, error)
    print("run.py: " + message, file=sys.stderr)
    result.update(failure={"phase": phase, "kind": "error", "message": message})
    write_result(out, result)
    return EXIT_FAILED


def _raise_on_sigterm() -> None:
    """From here on SIGTERM unwinds the main thread, at the latest when native code returns to Python."""
    def handle(_number: int, _frame: Any) -> NoReturn:
        from failures import Terminated

        raise Terminated

    signal.signal(signal.SIGTERM, handle)


def _process_start() -> Tuple[Optional[float], str]:
    """When this process was created, on the monotonic clock; the kernel keeps it in ticks (10 ms)."""
    try:
        with open("/proc/self/stat") as file:
            text = file.read()
        ticks = int(text[text.rindex(")") + 2:].split()[19])
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        age = since_boot - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError) as error:
        return None, "the kernel does not show when the process began: {}".format(error)
    started = time.monotonic() - age
    if not 0 <= _ENTERED - started + 0.01 <= _LONGEST_START_S:
        return None, "the process's start and its clock cannot be compared"
    return min(started, _ENTERED), ""


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A framework that crashes or hangs while it is torn down must not spoil a result that is on disk.
    os._exit(code)
