"""From nothing to the first answer, and on to a steady state: fresh processes, with or without the backend's own cache.

A trial starts two processes, one after the other. The first loads, compiles and answers; only the second is measured.
With `cache: warm` both share a cache directory, so the second finds what the first compiled. With `cache: cold` the second
gets an empty one. Thus the operating system's file cache is the same in both: libraries and model were read just before.
What is measured is a start after another start, not one after a reboot.

The headline is start of the interpreter + import + load + compile + first inference of the measured process. What the
runner itself does in between (reading inputs and reference) is left out of it, and reported as `details.harness_ms`.
"""

import os
from typing import Any, Dict, List, Mapping

import cachefiles
import measure
import trial
from cell import not_run
from children import Relayed, run_child
from job import CellJob
from steady import steady_from

COLD, WARM = "cold", "warm"
_PHASES = ("start_ms", "import_ms", "load_ms", "compile_ms")
_PAGE_CACHE = "warm: another process read the same files just before"
_ONE_TOO_MANY = "the control group held an earlier process as well"


class Trial(trial.Trial):
    """Loads nothing itself; the result is the measured process's own, with its cell as a cold start."""

    def _measure(self, import_began: float, cache: str) -> None:
        del import_began
        for number, cell in enumerate(self._job.cells):
            self.result["cells"].append(self._cold_start(cell, os.path.join(cache, str(number))))
            self.save()

    def _cold_start(self, cell: CellJob, folder: str) -> Dict[str, Any]:
        warm = cell.options.get("cache", COLD) == WARM
        places = [os.path.join(folder, name) for name in (("shared", "shared") if warm else ("before", "measured"))]
        self._events.emit("load", cell.id, "a first process loads, compiles and answers")
        before = run_child(self._job_for(cell, places[0], measured=False), os.path.join(folder, "first"), _place(places[0]))
        self.result["phases"]["fill_ms"] = before["phases"]["total_ms"]
        if warm and (_cache_of(before).get("kind") or "none") == "none":
            note = _cache_of(before).get("note") or "its adapter says nothing of a cache that outlives a process"
            return not_run(cell, "unsupported", "there is no warm start: {}".format(note), "load")
        found = cachefiles.look(_cache_dir(places[1]))
        self._events.emit("measure", cell.id, "the measured process, cache {}".format(WARM if warm else COLD))
        after = run_child(self._job_for(cell, places[1], measured=True), os.path.join(folder, "second"), _place(places[1]))
        self._take_over(after)
        left = cachefiles.look(_cache_dir(places[1]))
        change = cachefiles.compare(found, left)
        self.result["evidence"]["page_cache"] = _PAGE_CACHE
        use = self.result["evidence"].setdefault("cache", {})
        use.update(files_before=len(found), files_added=change.added, files_changed=change.changed)
        doubt = _doubt(use, found, change) if warm else _doubt_cold(use)
        if doubt:
            raise Relayed({"phase": "verify", "kind": "fallback", "message": doubt})
        measured = after["cells"][0]
        if measured["status"] != "ok":
            return {**measured, "id": cell.id, "scenario": cell.scenario}
        return _as_cold_start(cell, measured, after, cachefiles.megabytes(left), len(left))

    def _job_for(self, cell: CellJob, place: str, *, measured: bool) -> Dict[str, Any]:
        """The measured process runs as long as warm-up and measuring take elsewhere; the one before it answers and ends."""
        long_s = cell.min_duration_s + (float(self._raw(cell)["warmup_s"]) if measured else 0.0)
        limits = {"min_duration_s": long_s} if measured else {"min_duration_s": 0.0, "min_iterations": 1, "max_iterations": 1}
        one = {**self._raw(cell), "scenario": "first_answer", "warmup_s": 0.0, "options": {}, **limits}
        return {**self._job.raw, "cells": [one], "cache_dir": _cache_dir(place), "keep_cache": True, "probe": {"enabled": False}}

    def _raw(self, cell: CellJob) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(raw for raw in self._job.raw["cells"] if raw["id"] == cell.id)
        return found

    def _take_over(self, child: Mapping[str, Any]) -> None:
        """The measured process's phases, versions and evidence are this trial's."""
        self.result["versions"].update(child["versions"])
        self.result["phases"].update({name: child["phases"][name] for name in _PHASES})
        self.result["evidence"] = dict(child["evidence"] or {})
        for name, why in child["null_reasons"].items():
            if name.startswith(("phases.", "evidence")):
                self.reasons.items[name] = why
        self.reasons.items.pop("phases.start_ms", None)


def _as_cold_start(cell: CellJob, measured: Dict[str, Any], child: Mapping[str, Any], cache_mb: float, files: int
                   ) -> Dict[str, Any]:
    """The measured process's cell, its one sample being the time to the first answer."""
    phases, first = child["phases"], child["first"]
    headline = sum(phases[name] or 0.0 for name in _PHASES) + measured["first_inference_ms"]
    reasons = dict(measured["null_reasons"])
    trace = _trace(measured)
    steady = steady_from(trace)
    found: Dict[str, Any] = {"latency_ms": steady.final_ns / 1e6, "looked_at": len(trace)}
    if steady.index is None:
        reasons.update({"details.steady.ms": steady.reason, "details.steady.inferences": steady.reason})
    else:
        found.update(ms=headline + sum(trace[1:steady.index + 1]) / 1e6, inferences=steady.index + 1)
    details = {"harness_ms": max(0.0, first["wall_ms"] - headline), "steady": found, "major_page_faults": first["major_faults"],
               "cache": {"mb": cache_mb, "files": files}}
    memory = dict(measured["memory"], cgroup_peak_mb=None)
    reasons["memory.cgroup_peak_mb"] = _ONE_TOO_MANY
    if memory.get("process_peak_mb") is not None:
        memory["process_peak_mb"] = max(memory["process_peak_mb"], first["loading_peak_mb"])
    reasons.update(warmup_ms="a cold start has none", warmup_iterations="a cold start has none")
    return {**measured, "id": cell.id, "scenario": cell.scenario, "iterations": 1, "samples": measure.pack([int(headline * 1e6)]),
            "headline_ms": headline, "measure_ms": sum(trace) / 1e6, "warmup_ms": None, "warmup_iterations": None,
            "cpu_time_s": first["cpu_s"], "wall_s": first["wall_ms"] / 1e3, "memory": memory, "details": details,
            "null_reasons": reasons}


def _trace(measured: Mapping[str, Any]) -> List[int]:
    """ns of every inference from the first on; of the few before the timed loop only the sum is known."""
    few = int(measured["warmup_iterations"] or 0)
    between = [int(measured["warmup_ms"] * 1e6 / few)] * few if few else []
    return [int(measured["first_inference_ms"] * 1e6), *between, *map(int, measure.unpack(measured["samples"]))]


def _doubt(use: Mapping[str, Any], found: cachefiles.Files, change: cachefiles.Change) -> str:
    """Why it is not proven that a warm start was one; empty where it is."""
    said = ": {}".format(use["note"]) if use.get("note") else ""
    if not found:
        return "asked for a warm cache, but the first process left none" + said
    if use.get("hit") is not True:
        return "asked for a warm cache, but the backend compiled anew{}".format(said)
    if change.changed:
        return "asked for a warm cache, but {} of its {} files were written again{}".format(change.changed, len(found), said)
    return ""


def _doubt_cold(use: Mapping[str, Any]) -> str:
    return "asked for a cold cache, but the backend found what it had compiled before" if use.get("hit") else ""


def _cache_of(child: Mapping[str, Any]) -> Mapping[str, Any]:
    return (child.get("evidence") or {}).get("cache") or {}


def _cache_dir(place: str) -> str:
    return os.path.join(place, "cache")


def _place(place: str) -> Dict[str, str]:
    """A home and a folder for temporary files, so that nothing but the cache directory decides what is found."""
    for name in ("cache", "tmp"):
        os.makedirs(os.path.join(place, name), exist_ok=True)
    return {"HOME": os.path.join(place, "tmp"), "TMPDIR": os.path.join(place, "tmp")}
