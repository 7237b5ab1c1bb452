"""I instances of T threads each on the trial's CPUs, measured together: what the machine does, not what one process does.

Each instance is a process of its own with a slice of the CPUs, an adapter and a model. All load and warm up at the same
time, begin at one moment, and none stops while another still measures. Throughput counts what all of them completed in
the window in which all were measuring; latency is of all their inferences together.
"""

import json
import os
import select
import tempfile
import time
from typing import Any, Dict, List, Optional, Sequence

import pooled
import trial
from adapters.base import Fallback
from cell import blank, not_run
from children import Relayed
from gate import GO, LEAD_NS
from job import MAX_SAMPLES, CellJob
from measure import pack
from meters import Reasons
from meters import window as window_of
from workers import Crew, Trouble, Worker

_PHASES = ("import_ms", "load_ms", "compile_ms")
_SUMMED = ("warmup_iterations", "context_switches", "voluntary_switches", "involuntary_switches", "threads_seen",
           "threads_active")
_MEMORY = ("process_peak_mb", "baseline_mb", "delta_mb", "harness_mb")


class Trial(trial.Trial):
    """Starts the instances, holds them together, and makes one result of theirs."""

    _instances: Sequence[Dict[str, Any]] = ()  # where each ran, as seen from inside

    def _environment(self) -> Dict[str, Any]:
        return {**super()._environment(), "instances": list(self._instances)}

    def _prepare(self, import_began: float, cache: str) -> None:
        """Nothing: whatever this process loaded would only take memory from the instances."""

    def _note_evidence(self, *, final: bool = False) -> None:
        """It was noted when the instances ended."""

    def _run_cell(self, cell: CellJob) -> Dict[str, Any]:
        slices = cpu_slices(sorted(os.sched_getaffinity(0)), self._job.instances, self._job.threads)
        if slices is None:
            return not_run(cell, "failed", "the trial may use {} CPUs, and {} × {} threads need {}".format(
                len(os.sched_getaffinity(0)), self._job.instances, self._job.threads, self._job.instances * self._job.threads))
        with tempfile.TemporaryDirectory(prefix="infermatrix-instances-") as folder, Crew(folder, self._cgroup) as crew:
            self._events.emit("load", cell.id, "{} × {} threads".format(self._job.instances, self._job.threads))
            flags = os.memfd_create("infermatrix-flags")
            try:
                os.ftruncate(flags, self._job.instances)
                for number, cpus in enumerate(slices):
                    name = "instance {} of {}".format(number + 1, len(slices))
                    crew.start(name, self._job_of_one(cell), cpus, flags=flags, count=len(slices))
                trouble = self._follow(crew, cell)
            finally:
                os.close(flags)
            if trouble is not None:
                return self._in_trouble(cell, trouble)
            return self._together(cell, [dict(worker.result() or {}) for worker in crew.workers], crew.workers)

    def _job_of_one(self, cell: CellJob) -> Dict[str, Any]:
        mine = next(one for one in self._job.raw["cells"] if one["id"] == cell.id)
        most = max(cell.min_iterations, MAX_SAMPLES // self._job.instances)
        own = {**mine, "scenario": "single_stream", "max_iterations": min(cell.max_iterations, most)}
        return {**self._job.raw, "cells": [own]}

    def _follow(self, crew: Crew, cell: CellJob) -> Optional[Trouble]:
        """Until all instances have ended; the first one that fails ends the cell."""
        began = time.monotonic()
        deadline: Optional[float] = None  # none until the first is ready: the trial's own holds
        phase = "warmup"
        left = list(crew.workers)
        while left:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            heard, _, _ = select.select([worker.channel for worker in left], [], [], wait)
            if not heard:
                late = [worker for worker in left if phase == "measure" or worker.ready is None]
                return Trouble(late[0].name, "skipped", _late(late[0], phase, cell), late[0].phase())
            for worker in [one for one in left if one.channel in heard]:
                said = worker.channel.recv(1 << 16)
                if not said:
                    left.remove(worker)
                    trouble = crew.trouble(worker, cell.id)
                    if trouble is not None:
                        return trouble
                    continue
                worker.ready = json.loads(said.decode())
                if not set(worker.ready["affinity"]) <= set(worker.cpus):
                    return Trouble(worker.name, "failed", "it may run on CPUs {} and was given {}".format(
                        worker.ready["affinity"], worker.cpus), "warmup")
                if deadline is None:
                    now = time.monotonic()
                    deadline = now + max(cell.max_cell_s, 2 * (now - began))
            if phase == "warmup" and all(worker.ready for worker in crew.workers):
                phase = "measure"
                self._events.emit(phase, cell.id)
                word = GO + " {}\n".format(time.perf_counter_ns() + LEAD_NS).encode()
                for worker in crew.workers:
                    worker.channel.sendall(word)
                deadline = time.monotonic() + 2 * cell.max_cell_s + 5.0
        return None

    def _in_trouble(self, cell: CellJob, trouble: Trouble) -> Dict[str, Any]:
        if trouble.failure is not None:
            raise Relayed({**trouble.failure, "message": trouble.sentence})
        return not_run(cell, trouble.status, trouble.sentence, trouble.phase)

    def _together(self, cell: CellJob, results: List[Dict[str, Any]], workers: Sequence[Worker]) -> Dict[str, Any]:
        """One cell of the instances' cells, and of their results what holds for the trial."""
        self._note(results, workers)
        cells = [result["cells"][0] for result in results]
        reasons = Reasons(dict(cells[0]["null_reasons"]))
        lines = [pooled.timeline(one) for one in cells]
        window = pooled.common_window(lines)
        if window[1] <= window[0]:
            return not_run(cell, "failed", "there was no moment at which all instances were measuring", "measure")
        seconds = (window[1] - window[0]) / 1e9
        throughput = sum(pooled.completed(line, window) for line in lines) * cell.batch / seconds
        samples = pooled.pooled_samples(lines, window)
        # what a process used in its own loop, brought to the common window: the loops differ by a few inferences
        cpu = sum(one["cpu_time_s"] * seconds / one["wall_s"] for one in cells)
        made = blank(cell, reasons)
        made.update(
            first_inference_ms=max(one["first_inference_ms"] for one in cells), warmup_ms=max(one["warmup_ms"] for one in cells),
            measure_ms=seconds * 1e3, wall_s=seconds, iterations=len(samples), samples=pack(samples), cpu_time_s=cpu,
            **{name: pooled.highest([one[name] for one in cells]) for name in ("nr_throttled", "throttled_s")},
            window=window_of(window[0], window[1], round(throughput * seconds)),
            **{name: pooled.summed([one[name] for one in cells]) for name in _SUMMED},
            memory=self._memory(cells, reasons), fidelity=pooled.worst([one["fidelity"] for one in cells]),
            output_buffers="reused" if any(one["output_buffers"] == "reused" for one in cells) else "own",
            throughput_ips=throughput, headline_ms=1e3 / throughput, details=pooled.details(lines, window, cell.batch))
        return made

    def _note(self, results: Sequence[Dict[str, Any]], workers: Sequence[Worker]) -> None:
        """Versions and evidence of the first; phases of the slowest, since all wait for it."""
        first, phases = results[0], self.result["phases"]
        self.result["versions"].update(first["versions"])
        for name in _PHASES:
            phases[name] = pooled.highest([result["phases"][name] for result in results])
            why = first["null_reasons"].get("phases." + name)
            if phases[name] is None and why:
                self.reasons.items["phases." + name] = why
        fallbacks = [result["evidence"]["fallback"] for result in results if (result.get("evidence") or {}).get("fallback")]
        self.result["evidence"] = first.get("evidence")
        if fallbacks:
            raise Fallback(fallbacks[0])
        self._instances = [
            {"name": worker.name, "cpus": worker.cpus, "affinity": (worker.ready or {}).get("affinity"),
             "thread_variables": results[number]["environment"]["thread_variables"]} for number, worker in enumerate(workers)]

    def _memory(self, cells: Sequence[Dict[str, Any]], reasons: Reasons) -> Dict[str, Any]:
        """Sums over the processes, in which pages that they share count once each, and the group's own peak."""
        found = {name: pooled.summed([one["memory"].get(name) for one in cells]) for name in _MEMORY}
        for name in [name for name, value in found.items() if value is None]:
            path = "memory." + name
            reasons.items[path] = next((one["null_reasons"][path] for one in cells if path in one["null_reasons"]),
                                       "not all instances have it")
        reasons.items.pop("memory.cgroup_peak_mb", None)
        found["cgroup_peak_mb"] = reasons.get("memory.cgroup_peak_mb", self._cgroup.memory_peak_mb)
        return found


def cpu_slices(cpus: Sequence[int], instances: int, threads: int) -> Optional[List[List[int]]]:
    """Neighbouring CPUs for each instance, none for two; None where there are too few."""
    if len(cpus) < instances * threads:
        return None
    return [list(cpus[number * threads:(number + 1) * threads]) for number in range(instances)]


def _late(worker: Worker, phase: str, cell: CellJob) -> str:
    if phase == "measure":
        return "it did not end its measuring, and a cell may take {:g} s".format(cell.max_cell_s)
    return "it was not ready in time after another was (it is in phase {})".format(worker.phase())
