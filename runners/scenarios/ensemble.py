"""Several models on one device: every request is answered by all of them, at the same time.

Each member is measured alone first, in the same processes that then work together, so that what is compared is sharing the
machine and nothing else. Alone one after the other they would answer at the harmonic sum of their rates, 1 ÷ Σ 1/rate;
`gain` is the rate together ÷ that. Layouts: `one_process`, a thread per member; `processes`, a process per member.
"""

import gc
import os
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Sequence

import measure
import pooled
import trial
from adapters.base import Fallback
from cell import blank, not_run
from children import Relayed
from failures import Broken, cell_status, failure
from job import CellJob, TrialJob
from meters import PeakMeter, Reasons, Usage, resident_mb, used, window
from together import Member, Threads

PROCESSES = "processes"
Answer = Callable[[int], List[Any]]


class Trial(trial.Trial):
    """The members in one process; `processes` hands over to a crew."""

    def _prepare(self, import_began: float, cache: str) -> None:
        self._cache = cache
        self._members: List[trial.Trial] = []
        if self._job.cells[0].options.get("layout") != PROCESSES:
            for number, job in enumerate(self._job.members):
                own = replace(job, cells=self._job.cells)
                self._members.append(self._loaded(own, import_began, os.path.join(cache, str(number))))
                import_began = time.monotonic()

    def _loaded(self, job: TrialJob, import_began: float, cache: str) -> trial.Trial:
        """A member, imported, loaded and compiled; whatever goes wrong is named after it."""
        own: Dict[str, Any] = {"null_reasons": {}, "phases": dict.fromkeys(self.result["phases"]), "versions": {}}
        member = trial.Trial(job, own, self._out, self._events, self._began)
        os.makedirs(cache, exist_ok=True)
        self._events.emit("load", note=job.model_name)
        try:
            member._prepare(import_began, cache)
        except Broken as broken:
            raise _named(job.model_name, broken.failure) from None
        self.result["versions"].update(own["versions"])
        phases = self.result["phases"]
        for name in ("import_ms", "load_ms", "compile_ms"):
            if own["phases"][name] is not None:
                phases[name] = (phases[name] or 0.0) + own["phases"][name]
        if phases["compile_ms"] is None:
            self.reasons.items.update({k: why for k, why in own["null_reasons"].items() if k == "phases.compile_ms"})
        return member

    def _note_evidence(self, *, final: bool = False) -> None:
        """The members' own, side by side."""
        found = {}
        for member in self._members:
            member._note_evidence(final=final)
            found[member._job.model_name] = member.result["evidence"]
        self.side_by_side(found)

    def side_by_side(self, found: Mapping[str, Any]) -> None:
        """One evidence of the members'."""
        known = {name: one for name, one in found.items() if one}
        if not known:
            return
        first = next(iter(known.values()))
        on = sorted({name for one in known.values() for name in one["executed_on"]})
        fallbacks = ["{}: {}".format(name, one["fallback"]) for name, one in known.items() if one["fallback"]]
        self.result["evidence"] = {**first, "executed_on": on, "fallback": fallbacks[0] if fallbacks else None,
                                   "detail": {"members": {name: one["detail"] for name, one in known.items()}}}

    def _run_cell(self, cell: CellJob) -> Dict[str, Any]:
        if cell.options.get("layout") == PROCESSES:
            from scenarios import crewed

            return crewed.run(self, cell)
        alone: Dict[str, Dict[str, Any]] = {}
        name = ""
        try:
            members = []
            for one in self._members:
                name = one._job.model_name
                self._events.emit("warmup", cell.id, "{} alone".format(name))
                found = alone[name] = one._cell(cell)
                if found["status"] != "ok":
                    return not_run(cell, found["status"], "{}: {}".format(name, found["reason"]), found["phase"])
                members.append(Member(name, one._bench, cell))
            name = "together"
            return self._together(cell, members, alone)
        except Fallback as error:
            raise _named(name, failure("verify", error)) from None
        except Exception as error:
            status, reason = cell_status(error)
            return not_run(cell, status, "{}: {}".format(name, reason), "measure")
        finally:
            gc.enable()

    def _together(self, cell: CellJob, members: Sequence[Member], alone: Mapping[str, Dict[str, Any]]) -> Dict[str, Any]:
        baseline, peak, reasons = resident_mb(), PeakMeter(), Reasons()
        threads = Threads(members)
        try:
            peak.reset()
            made = blank(cell, reasons)
            marks: List[Usage] = []
            self.drive(cell, made, threads, min(len(one.batches.feeds) for one in members),
                       lambda: marks.append(Usage.now(self._cgroup)))
        finally:
            threads.close()
        made.update(used(marks[0], marks[1], reasons))
        made["memory"] = {"process_peak_mb": peak.peak_mb(), "baseline_mb": baseline,
                          "delta_mb": max(0.0, peak.peak_mb() - baseline), "cgroup_peak_mb": self.group_peak(reasons)}
        found = {one.name: one.fidelity() for one in members}
        made["output_buffers"] = "reused" if any(one.capture.reused for one in members) else "own"
        return self.finish(cell, made, alone, found)

    def drive(self, cell: CellJob, made: Dict[str, Any], answer: Answer, batches: int, mark: Callable[[], None]) -> None:
        """Warm up and measure requests; `mark` is called right before and right after the timed loop."""
        numbers: Any = measure.Batches(list(range(batches)), [], batched=True)
        predict: Any = answer
        self._events.emit("warmup", cell.id, "together")
        gc.collect()
        gc.disable()
        began = time.perf_counter_ns()
        answer(0)
        made["first_inference_ms"] = (time.perf_counter_ns() - began) / 1e6
        warm = measure.warm_up(predict, numbers, cell.warmup_s, cell.min_iterations, cell.max_cell_s)
        made.update(warmup_ms=warm.wall_ns / 1e6, warmup_iterations=len(warm.samples))
        self._events.emit("measure", cell.id, "together")
        limits = measure.Limits(int(cell.min_duration_s * 1e9), cell.min_iterations, cell.max_iterations,
                                int(cell.max_cell_s * 1e9))
        mark()
        loop = measure.timed_loop(predict, numbers, measure.Capture([None] * (batches + 1)), limits, min(warm.samples))
        mark()
        gc.enable()
        if len(loop.samples) < cell.min_iterations:
            raise measure.TooSlow("{} of {} requests in {:.3g} s, and a cell may take {:g} s".format(
                len(loop.samples), cell.min_iterations, loop.wall_ns / 1e9, cell.max_cell_s))
        made.update(measure_ms=loop.wall_ns / 1e6, wall_s=loop.wall_ns / 1e9, iterations=len(loop.samples),
                    window=window(loop.begin_ns, loop.begin_ns + loop.wall_ns, len(loop.samples) * cell.batch),
                    samples=measure.pack(loop.samples), throughput_ips=_rate(loop.samples, cell.batch))
        made["headline_ms"] = 1e3 / made["throughput_ips"]

    def group_peak(self, reasons: Reasons) -> Any:
        """Of the control group, which holds all processes of the trial."""
        return reasons.get("memory.cgroup_peak_mb", self._cgroup.memory_peak_mb)

    def finish(self, cell: CellJob, made: Dict[str, Any], alone: Mapping[str, Dict[str, Any]],
               together: Mapping[str, Dict[str, Any]]) -> Dict[str, Any]:
        """Gain over the members alone, and the worst fidelity of all, alone or together."""
        rates = {name: _rate(measure.unpack(one["samples"]), cell.batch) for name, one in alone.items()}
        expected = 1 / sum(1 / rate for rate in rates.values())
        made["details"] = {
            "gain": made["throughput_ips"] / expected, "expected_ips": expected,
            "member": {name: {"alone_ips": rates[name], "alone_p50_ms": _median_ms(alone[name])} for name in rates},
        }
        each = {name: pooled.worst([alone[name]["fidelity"], together[name]]) for name in together}
        made["fidelity"] = {**pooled.worst(list(each.values())), "members": each}
        for name, value in made["fidelity"].items():
            if value is None and name != "problem":
                made["null_reasons"]["fidelity." + name] = "no member has an output that it is defined for"
        return made


def _rate(samples: Sequence[int], batch: int) -> float:
    return float(len(samples) * batch / (sum(samples) * 1e-9))


def _median_ms(cell: Mapping[str, Any]) -> float:
    samples = sorted(measure.unpack(cell["samples"]))
    return float(samples[len(samples) // 2]) / 1e6


def _named(name: str, found: Mapping[str, Any]) -> Relayed:
    return Relayed({**found, "message": "{}: {}".format(name, found["message"])})
