"""MLCommons LoadGen, one run at a time: what it was told, what it logged. Only ever in a process that may be lost.

LoadGen crashes on an exception in a callback, waits for ever for a lost answer, and writes into the working directory
unless told otherwise. Its trace is kept in memory and written after the run, so that the run is not disturbed by it.
"""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any, Callable, Dict, Sequence

import numpy as np

_SAMPLE = re.compile(r'"name":"Sample".*?"ph":"b".*?"ts":(-?[0-9.]+).*?"issue_start_ns":(-?\d+),"complete_ns":(\d+)')


class LoadgenError(Exception):
    """LoadGen ended without what it owes; one sentence."""


@dataclass(frozen=True)
class Target:
    """The bound on latency: `percentile` (0 to 1) of the requests are answered within `ns` of the time they were due."""

    ns: int
    percentile: float


@dataclass(frozen=True)
class Run:
    """One run of LoadGen. The arrays are (requests,), in the order due; times in ns."""

    due: np.ndarray  # since LoadGen's own zero
    latency: np.ndarray  # from the time due to the answer
    delay: np.ndarray  # from the time due to the moment LoadGen could hand it over
    scheduled_qps: float
    completed_qps: float
    percentile_met: bool
    met: bool  # that, and LoadGen's early-stopping rule
    over_target: int
    version: str


@dataclass(frozen=True)
class Sut:
    """The system under test, as LoadGen sees it."""

    issue: Callable[[Sequence[Any]], None]
    samples: int


def answer(ids: Sequence[int]) -> None:
    """Tell LoadGen that these requests are done (without their outputs: it only measures)."""
    import mlperf_loadgen as lg

    lg.QuerySamplesComplete([lg.QuerySampleResponse(number, 0, 0) for number in ids])


def server(sut: Sut, *, rate: float, requests: int, target: Target, seed: int) -> Run:
    """Poisson arrivals at `rate` a second, exactly so many `requests`; ends when all are answered."""
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.Server
    settings.server_target_qps = rate
    settings.server_target_latency_ns = target.ns
    settings.server_target_latency_percentile = target.percentile
    return _run(settings, sut, requests, seed)


def single_stream(sut: Sut, *, requests: int, expected_ns: int, seed: int) -> Run:
    """One request after the other."""
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.SingleStream
    settings.single_stream_expected_latency_ns = expected_ns
    return _run(settings, sut, requests, seed)


def _run(settings: Any, sut: Sut, requests: int, seed: int) -> Run:
    import mlperf_loadgen as lg

    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    settings.min_query_count = requests  # and no maximum: reaching one is an error to LoadGen
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = seed
    with tempfile.TemporaryDirectory(prefix="infermatrix-loadgen-") as folder:
        log, output = lg.LogSettings(), lg.LogOutputSettings()
        output.outdir = folder
        output.copy_summary_to_stdout = False
        log.log_output = output
        log.log_mode = lg.LoggingMode.EndOfTestOnly
        log.enable_trace = True
        system = lg.ConstructSUT(sut.issue, _nothing)
        library = lg.ConstructQSL(sut.samples, sut.samples, _ignore, _ignore)
        try:
            lg.StartTestWithLogSettings(system, library, settings, log, "")
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(system)
        return read_logs(folder)


def read_logs(folder: str) -> Run:
    """A run from the files that LoadGen left. Raises LoadgenError where they do not hold it."""
    try:
        with open(os.path.join(folder, "mlperf_log_detail.txt"), encoding="utf-8") as file:
            facts = _facts(file.read())
        with open(os.path.join(folder, "mlperf_log_trace.json"), encoding="utf-8") as file:
            trace = _SAMPLE.findall(file.read())
    except OSError as error:
        raise LoadgenError("LoadGen left no log: {}".format(error)) from None
    if facts.get("num_errors"):
        said = [str(value) for name, value in facts.items() if str(name).startswith("error_")]
        raise LoadgenError("LoadGen reports {} errors: {}".format(facts["num_errors"], "; ".join(said) or "not which"))
    count = facts.get("result_query_count", len(trace))
    if not trace or len(trace) != count:
        raise LoadgenError("LoadGen's trace holds {} of {} requests".format(len(trace), count))
    numbers = np.array(trace, dtype=np.float64)
    numbers = numbers[np.argsort(numbers[:, 0], kind="stable")]
    seconds = max(1e-9, float(numbers[-1, 0] - numbers[0, 0]) / 1e6)
    return Run(
        due=(numbers[:, 0] * 1e3).astype(np.int64), latency=np.maximum(1, numbers[:, 2]).astype(np.int64),
        delay=np.maximum(0, numbers[:, 1]).astype(np.int64),
        scheduled_qps=float(facts.get("result_scheduled_samples_per_sec", len(trace) / seconds)),
        completed_qps=float(facts.get("result_completed_samples_per_sec", len(trace) / seconds)),
        percentile_met=bool(facts.get("result_perf_constraints_met")),
        met=bool(facts.get("result_perf_constraints_met")) and bool(facts.get("early_stopping_met")),
        over_target=int(facts.get("result_overlatency_query_count", 0)), version=str(facts.get("loadgen_version", "")))


def _facts(text: str) -> Dict[str, Any]:
    """Key → value of the detail log's lines (`:::MLLOG {json}`)."""
    facts = {}
    for line in text.splitlines():
        if line.startswith(":::MLLOG "):
            try:
                entry = json.loads(line[len(":::MLLOG "):])
            except ValueError:
                continue  # LoadGen does not escape every text that it logs
            facts[entry.get("key")] = entry.get("value")
    return facts


def _nothing() -> None:
    """LoadGen's flush: nothing is held back here."""


def _ignore(_samples: Any) -> None:
    """The samples are in memory from the start."""
