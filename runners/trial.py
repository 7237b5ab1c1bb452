"""One trial: import, load and compile once, then measure the cells one by one; the result file grows with each."""

import gc
import importlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import probe
from adapters.base import Adapter, Evidence, Fallback, Params
from arrays import load_arrays
from cell import Bench, explain, not_run, run_cell
from cgroups import Cgroup
from events import EventLog, write_result
from failures import Broken, failure
from gate import ALONE, Together
from job import CellJob, TrialJob
from measure import build_batches
from meters import PeakMeter, Reasons, Surroundings, resident_mb
from watch import Watch


class Trial:
    """Holds the growing result. `began` is the monotonic time at which the process started."""

    def __init__(self, job: TrialJob, result: Dict[str, Any], out: str, events: EventLog, began: float) -> None:
        self._job = job
        self._out = out
        self._events = events
        self._began = began
        self._cgroup = Cgroup()
        self._surroundings = Surroundings(self._cgroup)
        self._adapter: Optional[Adapter] = None
        self._bench: Optional[Bench] = None
        self._stop_from: Optional[Tuple[int, str, str]] = None  # (batch, status, reason) from which on cells are pointless
        self.reasons = Reasons(result["null_reasons"])
        self.result = result
        self.result.update(cells=[], evidence=None, environment=None)
        self.watch: Optional[Watch] = None  # set by whoever wants the clocks looked at

    def run(self, import_began: float, prober: Optional[probe.Prober]) -> None:
        """Everything up to the last cell; the result then says `complete`.

        `import_began`: when the import of numpy began, so that its time is part of the import phase.
        """
        cache, made = self._job.cache_dir, None
        if cache is None:
            cache = made = tempfile.mkdtemp(prefix="infermatrix-cache-")
        try:
            self._measure(import_began, cache)
        except Broken as broken:
            self.result["failure"] = broken.failure
        finally:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
        self._note_evidence(final=self.result["failure"] is None)
        if prober is not None:
            self._settled_probe(prober)
        self.result["complete"] = True
        self.save()

    def save(self) -> None:
        """Write what there is; called after every cell, so a killed trial keeps its finished ones."""
        self.result["environment"] = self._environment()
        self.result["phases"]["total_ms"] = (time.monotonic() - self._began) * 1e3
        write_result(self._out, self.result)

    def _environment(self) -> Dict[str, Any]:
        return self._surroundings.report(self.reasons)

    def _measure(self, import_began: float, cache: str) -> None:
        self._prepare(import_began, cache)
        try:
            for cell in self._job.cells:
                self.result["cells"].append(self._cell(cell))
                self.save()
        except Fallback as error:
            raise Broken("verify", error) from None

    def _prepare(self, import_began: float, cache: str) -> None:
        """Import, load, compile; what the cells then share."""
        job, phases = self._job, self.result["phases"]
        try:
            adapter = self._adapter = _adapter(job, cache)
            phases["import_ms"] = (time.monotonic() - import_began) * 1e3
            self.result["versions"].update(adapter.versions())
        except Exception as error:
            raise Broken("import", error) from None

        self._events.emit("load")
        try:
            began = time.perf_counter()
            samples = load_arrays(job.inputs)
            phases["inputs_ms"] = (time.perf_counter() - began) * 1e3
            params = _params(job, samples, cache)
            began = time.perf_counter()
            adapter.load(job.path, params)
            adapter.synchronize()
            phases["load_ms"] = (time.perf_counter() - began) * 1e3
        except Exception as error:
            raise Broken("load", error) from None

        self._events.emit("compile")
        self._compile(adapter, samples, params)
        began = time.perf_counter()
        reference = load_arrays(job.reference)
        phases["reference_ms"] = (time.perf_counter() - began) * 1e3
        baseline = self.reasons.get("memory.baseline_mb", resident_mb)
        # Without this every later collection would walk the framework's own objects too, some 100 ms for the largest.
        gc.freeze()
        self._bench = Bench(
            adapter=adapter, job=job, samples=samples, reference=reference, cgroup=self._cgroup, peak=PeakMeter(),
            baseline_mb=baseline, events=self._events, after_first=self._refuse_fallback,
            gate=ALONE if job.gate is None or job.gate.flags is None else Together(job.gate), watch=self.watch)

    def _compile(self, adapter: Adapter, samples: Dict[str, np.ndarray], params: Params) -> None:
        try:
            smallest = params.batches[0] if params.batches else self._job.fixed_batch
            example = build_batches(samples, self._job.input_order, smallest, batchable=self._job.batchable).feeds[0]
            began = time.perf_counter()
            separate = adapter.compile(example)
            adapter.synchronize()
            took = (time.perf_counter() - began) * 1e3
        except Exception as error:
            raise Broken("compile", error) from None
        self.result["phases"]["compile_ms"] = took if separate else None
        if not separate:
            self.reasons.items["phases.compile_ms"] = "the backend compiles while it loads, or not at all"

    def _cell(self, cell: CellJob) -> Dict[str, Any]:
        if self._stop_from is not None and cell.batch >= self._stop_from[0]:
            batch, status, reason = self._stop_from
            return not_run(cell, status, "not tried, for batch {} ended so: {}".format(batch, reason))
        measured = explain(self._run_cell(cell))
        if measured["status"] in ("oom", "skipped"):
            self._stop_from = (cell.batch, measured["status"], measured["reason"])
        return measured

    def _run_cell(self, cell: CellJob) -> Dict[str, Any]:
        assert self._bench is not None
        return run_cell(self._bench, cell)

    def _refuse_fallback(self) -> None:
        self._note_evidence()
        evidence = self.result["evidence"]
        if evidence and evidence["fallback"]:
            raise Fallback(evidence["fallback"])

    def _note_evidence(self, *, final: bool = False) -> None:
        """What the adapter says of itself; an adapter that cannot say it is no reason to lose the measurement."""
        if self._adapter is None:
            return
        try:
            evidence = self._adapter.final_evidence() if final else self._adapter.evidence()
            detail = dict(evidence.detail)
        except Exception as error:
            self.reasons.items["evidence"] = failure("verify", error)["message"]
            return
        if any(cell.get("output_buffers") == "reused" for cell in self.result["cells"]):
            detail["output_buffers"] = "reused"
        self.result["evidence"] = _evidence(evidence, detail)

    def _settled_probe(self, prober: probe.Prober) -> None:
        waited = probe.settle()
        self.result["probes"]["end"] = {**prober.read(), "settle_ms": waited}


def trial_for(job: TrialJob, result: Dict[str, Any], out: str, events: EventLog, began: float) -> Trial:
    """The trial of the job's scenario: `scenarios/<name>.py` where that is a file, else the plain one."""
    scenario = job.cells[0].scenario if job.cells else ""
    if scenario in ("", "single_stream", "offline"):
        return Trial(job, result, out, events, began)
    made: Trial = importlib.import_module("scenarios." + scenario).Trial(job, result, out, events, began)
    return made


def _evidence(evidence: Evidence, detail: Dict[str, Any]) -> Dict[str, Any]:
    said = {"device": str(evidence.device), "executed_on": [str(name) for name in evidence.executed_on],
            "fallback": None if evidence.fallback is None else str(evidence.fallback),
            "batching": str(evidence.batching), "detail": detail}
    if evidence.cache is not None:
        said["cache"] = asdict(evidence.cache)
    return said


def _adapter(job: TrialJob, cache: str) -> Adapter:
    """The adapter's object, from its module below adapters/ or from the user's own file."""
    if job.adapter_file is None:
        module = importlib.import_module("adapters." + job.adapter)
    else:
        spec = importlib.util.spec_from_file_location("infermatrix_adapter", job.adapter_file)
        if spec is None or spec.loader is None or not os.path.isfile(job.adapter_file):
            raise ImportError("there is no adapter file {}".format(job.adapter_file))
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    if not hasattr(module, "Adapter"):
        raise ImportError("the adapter {} defines no class Adapter".format(job.adapter_file or job.adapter))
    if hasattr(module, "environment"):
        os.environ.update(module.environment(_params(job, {}, cache)))
    made: Adapter = module.Adapter()
    return made


def _params(job: TrialJob, samples: Dict[str, np.ndarray], cache: str) -> Params:
    return Params(
        settings=dict(job.settings), precision=job.precision, device=job.device, threads=job.threads, seed=job.seed,
        cache_dir=cache, keep_cache=job.keep_cache, model_name=job.model_name, format=job.format, input_order=job.input_order,
        output_order=job.output_order, batchable=job.batchable, fixed_batch=job.fixed_batch,
        batches=tuple(sorted({size for cell in job.cells for size in cell.sizes})), samples=samples)


def base_versions() -> Dict[str, str]:
    """Of what every trial has, whatever the backend."""
    return {"numpy": np.__version__, "python": platform.python_version()}


def statuses(cells: List[Dict[str, Any]]) -> str:
    """One line for the log: how many cells ended how."""
    counts: Dict[str, int] = {}
    for cell in cells:
        counts[cell["status"]] = counts.get(cell["status"], 0) + 1
    return ", ".join("{} {}".format(number, status) for status, number in sorted(counts.items())) or "no cells"
