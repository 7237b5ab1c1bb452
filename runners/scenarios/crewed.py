"""An ensemble with a process per member, all of them on the same CPUs."""

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Dict, List

import pooled
from cell import blank, not_run
from children import Relayed
from job import CellJob
from measure import TooSlow
from meters import Reasons
from workers import Crew, Trouble, Worker

from scenarios.member import MARK, REQUEST

if TYPE_CHECKING:
    from scenarios.ensemble import Trial

_COUNTED = ("cpu_time_s", "threads_seen", "threads_active", "context_switches", "voluntary_switches", "involuntary_switches")


class _Lost(Exception):
    """A member does not answer: its channel ended, or is silent."""

    def __init__(self, worker: Worker, silent: bool) -> None:
        super().__init__(worker.name)
        self.worker = worker
        self.silent = silent


def run(trial: "Trial", cell: CellJob) -> Dict[str, Any]:
    """Start the members, measure each alone and then all together."""
    with tempfile.TemporaryDirectory(prefix="infermatrix-instances-") as folder, Crew(folder, trial._cgroup) as crew:
        cpus = sorted(os.sched_getaffinity(0))
        mine = next(one for one in trial._job.raw["cells"] if one["id"] == cell.id)
        for job, raw in zip(trial._job.members, trial._job.raw["members"]):  # noqa: B905
            own = {**trial._job.raw, **raw, "cells": [{**mine, "scenario": "member", "options": {}}]}
            crew.start(job.model_name, own, cpus, count=len(trial._job.members))
        try:
            return _measured(trial, cell, crew)
        except _Lost as lost:
            return _in_trouble(cell, crew, lost)


def _measured(trial: "Trial", cell: CellJob, crew: Crew) -> Dict[str, Any]:
    for worker in crew.workers:  # all load at the same time; the trial's own deadline holds
        worker.ready = _line(worker, None)
        if not set(worker.ready["affinity"]) <= set(worker.cpus):
            reason = "it may run on CPUs {} and was given {}".format(worker.ready["affinity"], worker.cpus)
            return not_run(cell, "failed", "{}: {}".format(worker.name, reason), "load")
    batches = []
    limit = 2 * cell.max_cell_s + cell.warmup_s + 5.0
    for worker in crew.workers:
        trial._events.emit("warmup", cell.id, "{} alone".format(worker.name))
        worker.channel.sendall(b"alone\n")
        batches.append(int(_line(worker, limit)["batches"]))
    made = blank(cell, Reasons())
    team = _Team(crew.workers, limit)
    try:
        trial.drive(cell, made, team, min(batches), team.mark)
    except TooSlow as error:
        return not_run(cell, "skipped", "together: {}".format(error), "measure")
    for worker in crew.workers:
        worker.channel.close()
    results: Dict[str, Dict[str, Any]] = {}
    for worker in crew.workers:
        trouble = crew.trouble(worker, cell.id)
        if trouble is not None:
            return _told(cell, trouble)
        results[worker.name] = dict(worker.result() or {})
    return _one(trial, cell, made, results)


class _Team:
    """One request to all members; answered when the last one has."""

    def __init__(self, workers: List[Worker], limit_s: float) -> None:
        self._workers = workers
        self._pairs = [(worker.channel.send, worker.channel.recv) for worker in workers]
        for worker in workers:
            worker.channel.settimeout(limit_s)

    def __call__(self, number: int) -> List[Any]:
        request = REQUEST.pack(number)
        asked = heard = 0
        try:
            for send, _ in self._pairs:
                send(request)
                asked += 1
            for _, receive in self._pairs:
                if not receive(1):
                    raise _Lost(self._workers[heard], silent=False)
                heard += 1
        except OSError as error:
            place = asked if asked < len(self._pairs) else heard
            raise _Lost(self._workers[place], silent="timed out" in str(error)) from None
        return []

    def mark(self) -> None:
        """Have every member read its counters."""
        self(MARK)


def _line(worker: Worker, limit_s: Any) -> Dict[str, Any]:
    worker.channel.settimeout(limit_s)
    try:
        said = worker.channel.recv(1 << 16)
    except OSError as error:
        raise _Lost(worker, silent="timed out" in str(error)) from None
    if not said:
        raise _Lost(worker, silent=False)
    return dict(json.loads(said.decode()))


def _in_trouble(cell: CellJob, crew: Crew, lost: _Lost) -> Dict[str, Any]:
    if lost.silent:
        return not_run(cell, "skipped", "{}: it does not answer (it is in phase {})".format(
            lost.worker.name, lost.worker.phase()), "measure")
    trouble = crew.trouble(lost.worker, cell.id)
    if trouble is None:
        trouble = Trouble(lost.worker.name, "failed", "it ended before its time", lost.worker.phase())
    return _told(cell, trouble)


def _told(cell: CellJob, trouble: Trouble) -> Dict[str, Any]:
    if trouble.failure is not None:
        raise Relayed({**trouble.failure, "message": trouble.sentence})
    return not_run(cell, trouble.status, trouble.sentence, trouble.phase)


def _one(trial: "Trial", cell: CellJob, made: Dict[str, Any], results: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
    """The members' results as the trial's, and their cells as one."""
    alone = {name: result["cells"][0] for name, result in results.items()}
    together = [result["together"] for result in results.values()]
    phases, first = trial.result["phases"], next(iter(results.values()))
    for name in ("import_ms", "load_ms", "compile_ms"):
        phases[name] = pooled.highest([result["phases"][name] for result in results.values()])
        why = first["null_reasons"].get("phases." + name)
        if phases[name] is None and why:
            trial.reasons.items["phases." + name] = why
    for result in results.values():
        trial.result["versions"].update(result["versions"])
    trial.side_by_side({name: result["evidence"] for name, result in results.items()})
    reasons: Dict[str, str] = made["null_reasons"]
    for name in _COUNTED:
        made[name] = pooled.summed([one.get(name) for one in together])
        if made[name] is None:
            reasons[name] = "not all members have it"
    for name in ("nr_throttled", "throttled_s"):  # of the one control group that all are in
        made[name] = pooled.highest([one.get(name) for one in together])
        if made[name] is None:
            reasons[name] = "no control group that shows throttling is visible"
    kept = Reasons(reasons)
    peaks = pooled.summed([one["process_peak_mb"] for one in together])
    baseline = pooled.summed([one["memory"]["baseline_mb"] for one in alone.values()])
    delta = None if peaks is None or baseline is None else max(0.0, peaks - baseline)
    made["memory"] = {"process_peak_mb": peaks, "baseline_mb": baseline, "delta_mb": delta,
                      "cgroup_peak_mb": trial.group_peak(kept)}
    for name in ("process_peak_mb", "baseline_mb", "delta_mb"):
        if made["memory"][name] is None:
            reasons["memory." + name] = "not all members have it"
    made["output_buffers"] = "reused" if any(one["reused"] for one in together) else "own"
    return trial.finish(cell, made, alone, {name: result["together"]["fidelity"] for name, result in results.items()})
