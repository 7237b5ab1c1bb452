"""One cell: first inference, warm-up, the timed loop, and the comparison of what came out of it."""

import gc
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional

import accuracy
import feeding
import fidelity
import measure
import numpy as np
from adapters.base import Adapter, Fallback, Unsupported
from cgroups import Cgroup, Missing
from events import EventLog
from failures import cell_status
from gate import ALONE, Alone
from job import AccuracyJob, CellJob, TrialJob
from meters import PeakMeter, Reasons, Usage, used, window
from resident import device_resident
from watch import Watch

_UNMEASURED = ("first_inference_ms", "warmup_ms", "warmup_iterations", "measure_ms", "iterations", "samples", "cpu_time_s",
               "wall_s", "threads_seen", "threads_active", "context_switches", "voluntary_switches", "involuntary_switches",
               "nr_throttled", "throttled_s", "memory", "fidelity", "window", "synchronize_ms", "device_resident",
               "clock")


@dataclass(frozen=True)
class Bench:
    """What all cells of a trial share."""

    adapter: Adapter
    job: TrialJob
    samples: Dict[str, np.ndarray]
    reference: Mapping[str, np.ndarray]
    cgroup: Cgroup
    peak: PeakMeter
    baseline_mb: Any  # resident after loading, before the first inference; None where it cannot be read
    events: EventLog
    after_first: Callable[[], None]  # looks at the evidence; raises Fallback
    gate: Alone = ALONE  # what stands between warm-up and measuring
    watch: Optional[Watch] = None  # looks at the clocks while it is measured


def blank(cell: CellJob, reasons: Reasons) -> Dict[str, Any]:
    """A cell that is well and has no numbers yet."""
    return {"id": cell.id, "scenario": cell.scenario, "batch": cell.batch, "status": "ok", "reason": None, "phase": None,
            **dict.fromkeys(_UNMEASURED), "null_reasons": reasons.items}


def explain(cell: Dict[str, Any]) -> Dict[str, Any]:
    """The cell, with a reason for every figure that its scenario has no way to take."""
    for name in _UNMEASURED:
        if cell[name] is None:
            cell["null_reasons"].setdefault(name, "the scenario {} does not measure it".format(cell["scenario"]))
    return cell


def not_run(cell: CellJob, status: str, reason: str, phase: str = "warmup") -> Dict[str, Any]:
    """A cell without numbers."""
    return {"id": cell.id, "scenario": cell.scenario, "batch": cell.batch, "status": status, "reason": reason,
            "phase": phase, **dict.fromkeys(_UNMEASURED), "null_reasons": dict.fromkeys(_UNMEASURED, "the cell is " + status)}


def has_more_to_do(adapter: Adapter) -> bool:
    """Whether a device may be busy after `predict`; where it always waits, time that passes then is a CPU that others had."""
    return type(adapter).synchronize is not Adapter.synchronize


def run_cell(bench: Bench, cell: CellJob) -> Dict[str, Any]:
    """Measure one cell; whatever goes wrong becomes its status.

    Raises:
        Fallback: the backend runs elsewhere than was asked, which no cell of this trial survives.
    """
    attempt = _Attempt(bench, cell)
    try:
        attempt.run()
    except Fallback:
        raise
    except measure.TooSlow as error:
        attempt.end("skipped", str(error))
    except Exception as error:
        attempt.end(*cell_status(error))
    finally:
        gc.enable()
    return attempt.cell


class _Attempt:
    def __init__(self, bench: Bench, cell: CellJob) -> None:
        self.bench = bench
        self.job = cell
        self.phase = "warmup"
        self.reasons = Reasons()
        self.cell = blank(cell, self.reasons)

    def end(self, status: str, reason: str) -> None:
        """The cell has no numbers that count; what was measured of its beginning is kept."""
        self.cell.update(status=status, reason=reason, phase=self.phase)
        for name in _UNMEASURED:
            if self.cell[name] is None:
                self.reasons.items.setdefault(name, "the cell is " + status)

    def run(self) -> None:
        bench, job = self.bench, self.job
        self._enter("warmup")
        if not bench.job.batchable and job.batch != bench.job.fixed_batch:
            raise Unsupported("the model takes batches of {} only".format(bench.job.fixed_batch))
        if not bench.job.batchable and job.options.get("feeding") == "rows":
            raise Unsupported("the model takes no batches, so there are no rows to feed one by one")
        began = time.perf_counter()
        batches = measure.build_batches(bench.samples, bench.job.input_order, job.batch, batchable=bench.job.batchable)
        predict = feeding.fed(bench.adapter.predict, job)
        gc.collect()
        gc.disable()
        bench.peak.reset()
        self.cell["prepare_ms"] = (time.perf_counter() - began) * 1e3
        first = self._first(predict, batches)
        warm = measure.warm_up(predict, batches, job.warmup_s, job.min_iterations, job.max_cell_s)
        bench.adapter.synchronize()
        self.cell.update(warmup_ms=warm.wall_ns / 1e6, warmup_iterations=len(warm.samples))
        capture = measure.capture_for(batches, first)
        del first

        self._enter("measure")
        limits = measure.Limits(int(job.min_duration_s * 1e9), job.min_iterations, job.max_iterations, int(job.max_cell_s * 1e9))
        limits = bench.gate.start(limits)
        before = Usage.now(bench.cgroup)
        loop = measure.timed_loop(predict, batches, capture, limits, min(warm.samples), bench.watch)
        left_over = measure.synchronized(bench.adapter.synchronize)
        after = Usage.now(bench.cgroup)
        memory = self._memory()
        gc.enable()
        bench.gate.ended(self.cell, loop)
        if len(loop.samples) < job.min_iterations:
            raise measure.TooSlow("{} of {} inferences in {:.3g} s, and a cell may take {:g} s".format(
                len(loop.samples), job.min_iterations, loop.wall_ns / 1e9, job.max_cell_s))
        self.cell["synchronize_ms"] = left_over / 1e6
        if has_more_to_do(bench.adapter):
            measure.refuse_unfinished(left_over, loop.samples)
        self.cell["window"] = window(loop.begin_ns, loop.begin_ns + loop.wall_ns, len(loop.samples) * job.batch)
        self.cell.update(
            measure_ms=loop.wall_ns / 1e6, wall_s=(loop.wall_ns - loop.paused_ns) / 1e9, iterations=len(loop.samples),
            samples=measure.pack(loop.samples), **used(before, after, self.reasons))

        self.cell["clock"] = self._clock()

        self._enter("verify")
        began = time.perf_counter()
        measure.secure_outputs(predict, batches, capture)
        self.cell["memory"] = self._delta(memory, batches, capture)
        self.cell["output_buffers"] = "reused" if capture.reused else "own"
        self._compare(batches, capture)
        self.cell["verify_ms"] = (time.perf_counter() - began) * 1e3
        if predict == bench.adapter.predict:
            self.cell["device_resident"] = self.reasons.get(
                "device_resident", lambda: device_resident(bench.adapter, batches, limits, min(warm.samples)))
        else:
            self.reasons.items["device_resident"] = "rows are fed one by one from the host"
        if bench.job.accuracy is not None:
            self._count_right(bench.job.accuracy)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.bench.events.emit(phase, self.job.id)

    def _first(self, predict: measure.Predict, batches: measure.Batches) -> Any:
        began = time.perf_counter_ns()
        outputs = predict(batches.feeds[0])
        self.cell["first_inference_ms"] = (time.perf_counter_ns() - began) / 1e6
        measure.check_outputs(outputs)
        self.bench.after_first()
        return outputs

    def _clock(self) -> Optional[Dict[str, Any]]:
        if self.bench.watch is None:
            self.reasons.items["clock"] = "the job asks for no probe, or measures no CPU"
            return None
        try:
            return self.bench.watch.report()
        except ValueError as error:
            self.reasons.items["clock"] = str(error)
            return None

    def _memory(self) -> Dict[str, Any]:
        peak, reasons = self.bench.peak, self.reasons
        return {
            "process_peak_mb": reasons.get("memory.process_peak_mb", peak.peak_mb),
            "cgroup_peak_mb": reasons.get("memory.cgroup_peak_mb", self.bench.cgroup.memory_peak_mb),
            **self._cgroup_parts(),
            "baseline_mb": self.bench.baseline_mb,
        }

    def _cgroup_parts(self) -> Dict[str, Any]:
        """The control group's memory at the end of the timed loop: that of processes and the page cache apart."""
        names = ("anon", "file", "inactive_file", "working")
        try:
            found = self.bench.cgroup.memory_parts()
        except (Missing, ValueError) as error:
            self.reasons.items.update({"memory.cgroup_{}_mb".format(name): str(error) for name in names})
            found = {}
        return {"cgroup_{}_mb".format(name): found.get(name) for name in names}

    def _delta(self, memory: Dict[str, Any], batches: measure.Batches, capture: measure.Capture) -> Dict[str, Any]:
        """Adds what inference itself took: the peak less the loaded baseline, less what only this harness holds."""
        kept = 0 if capture.reused else sum(part.nbytes for _, outputs in capture.kept() for part in outputs)
        held = batches.resident_mb + kept / 2 ** 20
        delta = None
        if self.bench.peak.reset_refused is not None:
            self.reasons.items["memory.delta_mb"] = self.bench.peak.reset_refused
        elif memory["process_peak_mb"] is None or memory["baseline_mb"] is None:
            self.reasons.items["memory.delta_mb"] = "it needs the peak and the baseline"
        else:
            delta = max(0.0, memory["process_peak_mb"] - memory["baseline_mb"] - held)
        if memory["baseline_mb"] is None:
            self.reasons.items["memory.baseline_mb"] = "/proc/self/status cannot be read"
        return {**memory, "delta_mb": delta, "harness_mb": held}

    def _count_right(self, asked: AccuracyJob) -> None:
        """What goes wrong here costs the accuracy, not the measurement that is done by now."""
        job = self.bench.job
        self.cell["accuracy"] = None
        try:
            self.cell["accuracy"] = accuracy.count_right(
                self.bench.adapter.predict, asked, input_order=job.input_order, output_order=job.output_order,
                batch=self.job.batch, batchable=job.batchable, max_s=self.job.max_cell_s)
        except accuracy.NotCounted as error:
            self.reasons.items["accuracy"] = str(error)
        except Exception as error:
            self.reasons.items["accuracy"] = cell_status(error)[1]

    def _compare(self, batches: measure.Batches, capture: measure.Capture) -> None:
        comparison = fidelity.Comparison(self.bench.reference, self.bench.job.output_order)
        for number, outputs in capture.kept():
            comparison.add(measure.check_outputs(outputs), batches.rows[number], batched=batches.batched)
        result = comparison.result()
        self.cell["fidelity"] = result
        for name, value in result.items():
            if value is None and name != "problem":
                why = result["problem"] or "the outputs hold nothing that it is defined for"
                self.reasons.items["fidelity." + name] = why
