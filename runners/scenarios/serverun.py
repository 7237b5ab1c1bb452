"""One server cell: warm-up, capacity, the search for the highest rate, and the run that proves it."""

import gc
import time
from collections import Counter
from math import ceil
from statistics import median
from typing import Any, Dict, List

import fidelity
import measure
import numpy as np
from adapters.base import Fallback, Unsupported
from cell import Bench, _Attempt
from failures import cell_status
from figures import figure
from job import MAX_SAMPLES, CellJob
from meters import Usage, used, window

from scenarios import loadgen
from scenarios.batching import Batcher, Rows, Worker
from scenarios.early_stopping import needed_requests, upper_bound
from scenarios.queueing import Queue, queue_of
from scenarios.ratesearch import Length, Search, highest_rate

START = 0.7  # of the capacity measured
FULL = 4.0  # how much longer the proving run is than a short one
# A short run asks the percentile itself and lets so many miss (200 requests at p99); the full run asks LoadGen's rule,
# which must leave room for so many (838 requests at p99).
SHORT_MISSES, FULL_MISSES = 2, 2
FLOOD = 2.0  # times what the backend alone can do: what a server can do at all shows only when it is flooded
FLOOD_S = 0.25
FEWEST_FLOOD = 32
LOWEST = 0.02  # of the capacity: below it the search gives up


class TargetMissed(Exception):
    """No rate meets the latency target; the message says why."""


def serve_cell(bench: Bench, cell: CellJob) -> Dict[str, Any]:
    """Measure one cell; whatever goes wrong becomes its status. Raises Fallback, as `run_cell` does."""
    attempt = ServerAttempt(bench, cell)
    try:
        attempt.run()
    except Fallback:
        raise
    except TargetMissed as error:
        attempt.end("target_missed", str(error))
    except measure.TooSlow as error:
        attempt.end("skipped", str(error))
    except Exception as error:
        attempt.end(*cell_status(error))
    finally:
        gc.enable()
    return attempt.cell


class ServerAttempt(_Attempt):
    """Options: `target_ms`, `percentile` (of latency), `max_delay_ms`; the batch is the largest that the batcher makes."""

    def __init__(self, bench: Bench, cell: CellJob) -> None:
        super().__init__(bench, cell)
        options = cell.options
        self.target = loadgen.Target(ns=int(float(options["target_ms"]) * 1e6), percentile=float(options["percentile"]) / 100)
        self.delay_s = float(options["max_delay_ms"]) / 1e3
        self.words = "p{:g} ≤ {:g} ms".format(float(options["percentile"]), float(options["target_ms"]))
        self.fewest = max(64, ceil(SHORT_MISSES / (1 - self.target.percentile)))
        self.fewest_full = needed_requests(FULL_MISSES, self.target.percentile)
        self.runs = 0
        self.sizes: "Counter[int]" = Counter()
        self.kept: List[Any] = []
        self.last: Any = None  # (Run, Queue) of the last run
        self.why = ""  # the last refused rate was refused

    def run(self) -> None:
        bench, job = self.bench, self.job
        if not 0.5 <= self.target.percentile < 1 or self.target.ns <= 0:
            raise Unsupported("a target of {} is none: the percentile lies from 50 up to below 100".format(self.words))
        self._enter("warmup")
        if not bench.job.batchable and job.batch != bench.job.fixed_batch:
            raise Unsupported("the model takes batches of {} only".format(bench.job.fixed_batch))
        rows = Rows(bench.samples, bench.job.input_order, batchable=bench.job.batchable)
        gc.collect()
        gc.disable()
        bench.peak.reset()
        alone = self._warm_up(rows)

        self._enter("measure")
        began = time.monotonic()
        capacity = self._flooded(rows, alone)

        def left() -> float:
            return job.max_cell_s - (time.monotonic() - began)

        def cost(rate: float, length: Length) -> float:
            return self._requests(rate, length) / min(rate, capacity)

        cheapest = cost(START * capacity, Length.SHORT) + cost(START * capacity, Length.FULL)
        if cheapest > job.max_cell_s:
            raise measure.TooSlow(
                "{} needs runs of {:,} and {:,} requests; at the {}/s this backend can serve they take {} s, and a cell "
                "may take {:g} s".format(self.words, self.fewest, self.fewest_full, figure(capacity), figure(cheapest),
                                         job.max_cell_s))
        search = highest_rate(lambda rate, length: self._holds(rows, rate, length), cost, left, start=START * capacity,
                              floor=LOWEST * capacity)
        memory = self._memory()
        gc.enable()
        if search.rate is None:
            raise self._none(search)
        self._report(search, capacity, time.monotonic() - began)
        self._enter("verify")
        self._judge(memory)

    def _warm_up(self, rows: Rows) -> float:
        """Every size of batch that the batcher may make, until none is new; returns the best rate of plain calls, rows a second.

        Raises TargetMissed where even the fastest single call is slower than the target.
        """
        job, predict = self.job, self.bench.adapter.predict
        sizes = list(self.job.sizes) if rows.batchable else [1]
        first = time.perf_counter_ns()
        outputs = predict(rows.feeds([0]))
        self.cell["first_inference_ms"] = (time.perf_counter_ns() - first) / 1e6
        measure.check_outputs(outputs)
        self.bench.after_first()
        began = time.perf_counter_ns()
        times: Dict[int, List[int]] = {size: [] for size in sizes}
        while min(map(len, times.values())) < 3 or time.perf_counter_ns() - began < job.warmup_s * 1e9:
            for size, found in times.items():
                feeds = rows.feeds([row % rows.count for row in range(size)])
                before = time.perf_counter_ns()
                predict(feeds)
                found.append(time.perf_counter_ns() - before)
                if found[-1] * self.fewest > job.max_cell_s * 1e9 * size and len(found) > 1:
                    raise measure.TooSlow(
                        "a batch of {} takes {} s: {:,} requests would take {} s, and a cell may take {:g} s".format(
                            size, figure(found[-1] / 1e9), self.fewest, figure(found[-1] * self.fewest / size / 1e9),
                            job.max_cell_s))
        self.bench.adapter.synchronize()
        self.cell.update(warmup_ms=(time.perf_counter_ns() - began) / 1e6, warmup_iterations=sum(map(len, times.values())))
        best = min(times[sizes[0]])
        if best > self.target.ns:
            raise TargetMissed("one request alone takes {} ms at best, and the target is {}: no rate can meet it".format(
                figure(best / 1e6), self.words))
        return max(size * 1e9 / median(found) for size, found in times.items())

    def _flooded(self, rows: Rows, alone: float) -> float:
        """What the server can do, LoadGen and batcher included, in requests a second: it is given more than it can serve."""
        requests = int(min(alone * FLOOD_S, 10_000))
        if requests < FEWEST_FLOOD:  # so slow that the harness's own cost is nothing beside it
            return alone
        return min(alone, self._serve(rows, alone * FLOOD, requests).completed_qps)

    def _requests(self, rate: float, length: Length) -> int:
        """Enough for LoadGen's rule, for the profile's time, and for a queue that would outgrow the target to be seen."""
        target_s, full = self.target.ns / 1e9, length is Length.FULL
        seconds = max(FULL * self.job.min_duration_s, 10 * target_s) if full else max(self.job.min_duration_s, 3 * target_s)
        fewest = self.fewest_full if full else self.fewest
        return max(fewest, min(MAX_SAMPLES, int(rate * seconds)))

    def _serve(self, rows: Rows, rate: float, requests: int) -> loadgen.Run:
        """One run. Raises what the backend raised in it."""
        batcher = Batcher(self.job.batch if rows.batchable else 1, self.delay_s)
        worker = Worker(batcher, self.bench.adapter.predict, rows, loadgen.answer)
        self.runs += 1

        def issue(queries: Any) -> None:
            batcher.put([(query.id, query.index) for query in queries])

        seed = (self.bench.job.seed * 1_000 + self.runs) % 2 ** 31  # the same arrivals for every backend
        run = loadgen.server(loadgen.Sut(issue, rows.count), rate=rate, requests=requests, target=self.target, seed=seed)
        worker.stop()
        self.sizes, self.kept = worker.sizes, worker.kept
        if worker.error is not None:
            raise worker.error
        return run

    def _holds(self, rows: Rows, rate: float, length: Length) -> bool:
        before, begin_ns = Usage.now(self.bench.cgroup), time.perf_counter_ns()
        run = self._serve(rows, rate, self._requests(rate, length))
        end_ns, after = time.perf_counter_ns(), Usage.now(self.bench.cgroup)
        queue = queue_of(run.due, run.latency, self.job.batch)
        self.last = (run, queue)
        met = run.met if length is Length.FULL else run.percentile_met
        held = met and not queue.grows
        verdict = "holds" if held else "refused, the queue grows" if queue.grows else "refused"
        words = "{} run at {}/s: {:,} requests, {:,} over the target, queue {:+.3g}/s: {}"
        self.bench.events.emit("measure", self.job.id, words.format(
            length.value, figure(rate, 4), len(run.latency), run.over_target, queue.growth_per_s, verdict))
        if held and length is Length.FULL:
            self.cell.update(used(before, after, self.reasons), window=window(begin_ns, end_ns, len(run.latency)))
        elif not held:
            grew = "its queue grew by {} requests a second".format(figure(queue.growth_per_s))
            missed = "{:,} of {:,} requests took longer than {:g} ms".format(
                run.over_target, len(run.latency), self.target.ns / 1e6)
            self.why = "at {}/s {}".format(figure(rate, 4), " and ".join(
                text for text, so in ((missed, not met), (grew, queue.grows)) if so))
        return held

    def _none(self, search: Search) -> Exception:
        if search.out_of_time:
            return measure.TooSlow("no rate was proven to meet {} within the {:g} s that a cell may take{}".format(
                self.words, self.job.max_cell_s, "; " + self.why if self.why else ""))
        return TargetMissed("no rate meets {}: {}".format(self.words, self.why))

    def _report(self, search: Search, capacity: float, seconds: float) -> None:
        run, queue = self.last
        ordered = np.sort(run.latency)
        bound = upper_bound(ordered, self.target.percentile)
        failed = search.lowest_failed
        wall_s = float(run.due[-1] - run.due[0] + run.latency[-1]) / 1e9
        batches = sum(self.sizes.values())
        self.cell.update(
            samples=measure.pack(run.latency.tolist()), iterations=len(run.latency), measure_ms=wall_s * 1e3,
            wall_s=wall_s, throughput_ips=run.scheduled_qps, headline_ms=1e3 / run.scheduled_qps,
            details={
                "rate": {"target_qps": search.rate, "scheduled_qps": run.scheduled_qps, "completed_qps": run.completed_qps,
                         "capacity_qps": capacity, **({} if failed is None else {"lowest_failed_qps": failed})},
                "latency_ms": {"p{:g}".format(share * 100): _at(ordered, share) for share in (0.5, 0.9, 0.99)},
                "bound": {**({} if bound is None else {"latency_ms": float(bound) / 1e6}), "over_target": run.over_target},
                "batch": {"mean": len(run.latency) / batches, "largest": max(self.sizes)},
                "queue": _queue(queue),
                "loadgen": {"delay_p99_ms": _at(np.sort(run.delay), 0.99)},
                "search": {"runs": self.runs, "seconds": seconds},
            })

    def _judge(self, memory: Dict[str, Any]) -> None:
        """The answers of the proving run itself, against the reference."""
        held = sum(part.nbytes for _, outputs in self.kept for part in outputs) / 2 ** 20
        delta = None
        if self.bench.peak.reset_refused is not None:
            self.reasons.items["memory.delta_mb"] = self.bench.peak.reset_refused
        elif memory["process_peak_mb"] is None or memory["baseline_mb"] is None:
            self.reasons.items["memory.delta_mb"] = "it needs the peak and the baseline"
        else:
            delta = max(0.0, memory["process_peak_mb"] - memory["baseline_mb"] - held)
        self.cell["memory"] = {**memory, "delta_mb": delta, "harness_mb": held}
        self.cell["output_buffers"] = "own"
        comparison = fidelity.Comparison(self.bench.reference, self.bench.job.output_order)
        for numbers, outputs in self.kept:
            comparison.add(outputs, numbers, batched=self.bench.job.batchable)
        result = self.cell["fidelity"] = comparison.result()
        for name, value in result.items():
            if value is None and name != "problem":
                self.reasons.items["fidelity." + name] = result["problem"] or "the outputs hold nothing that it is defined for"


def _queue(queue: Queue) -> Dict[str, float]:
    return {"mean": queue.mean, "largest": queue.largest, "growth_per_s": queue.growth_per_s}


def _at(ordered: np.ndarray, share: float) -> float:
    """A percentile in ms: an actual sample (nearest rank)."""
    return float(ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]) / 1e6
