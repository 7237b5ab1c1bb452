"""The process that conformance tests run in: it may crash, hang or eat memory, for `conformance_worker.py` watches it.

    python conformance_child.py --job FILE --answers FD

Reads one test a line from its standard input and answers on the descriptor, one JSON object a line: `{"ready": …}` or
`{"failure": …}` once, then for each test the phases that it enters and its outcome. What it prints is a log.
"""

import time

_ENTERED = time.perf_counter()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from typing import Any, Callable, Dict, List, Mapping  # noqa: E402

import numpy as np  # noqa: E402
import older  # noqa: E402
import probe  # noqa: E402
from adapters.base import ConvertParams, Fallback, Params, Unsupported  # noqa: E402
from arrays import load_arrays  # noqa: E402
from conformance_compare import difference  # noqa: E402
from convert import adapter_module, artifact_format, checked  # noqa: E402
from events import plain  # noqa: E402
from failures import failure, kind_of, message_of  # noqa: E402
from measure import build_batches  # noqa: E402

Outcome = Dict[str, Any]
Arrays = Dict[str, np.ndarray]
_STATUS = {"unsupported": "unsupported", "fallback": "fallback", "oom": "out_of_memory", "error": "failed"}


class Answers:
    """Writes to the parent; each message is one line."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self.phase = "start"

    def say(self, message: Mapping[str, Any]) -> None:
        """One object, bounded like a result."""
        self._file.write((json.dumps(plain(dict(message)), allow_nan=False) + "\n").encode())

    def enter(self, phase: str) -> None:
        """What is being done: the last word of a process that dies of it."""
        self.phase = phase
        self.say({"phase": phase})


def convert_test(job: Mapping[str, Any], module: Any, test: Mapping[str, Any], answers: Answers) -> Outcome:
    """Convert one model into a folder of its own below `job["artifacts_out"]`."""
    folder = os.path.join(job["artifacts_out"], test["id"])
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    answers.enter("convert")
    inputs = _named(job, test, "inputs", 0, test["input_order"])
    params = ConvertParams(
        settings=dict(job["settings"]), precision=job["precision"], batch=test["fixed_batch"], model_name=test["name"],
        input_order=tuple(test["input_order"]), output_order=tuple(test["output_order"]), samples=_sampled(inputs),
        batchable=False, fixed_batch=test["fixed_batch"])
    try:
        made = checked(module.convert(_model(job, test), folder, params), folder)
        if job["output"] in made.lacking:
            raise Unsupported(made.lacking[job["output"]])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    file = made.others.get(job["output"], made.file)
    form = job["output"] if job["output"] in made.others else artifact_format(module, file)
    return {"status": "passed", "artifact": {"format": form, "file": file}}


def run_test(job: Mapping[str, Any], module: Any, test: Mapping[str, Any], answers: Answers) -> Outcome:
    """Load, predict and compare, on every data set that the test has."""
    adapter, cache = None, tempfile.mkdtemp(prefix="infermatrix-cache-")
    made = test.get("artifact")
    path = os.path.join(job["artifacts"], test["id"], made["file"]) if made else _model(job, test)
    try:
        answers.enter("import")
        adapter = module.Adapter()
        for number in range(test["sets"]):
            inputs = _named(job, test, "inputs", number, test["input_order"])
            expected = _named(job, test, "outputs", number, test["output_order"])
            feeds = build_batches(_sampled(inputs), test["input_order"], 1, batchable=False).feeds[0]
            if number == 0:
                answers.enter("load")
                adapter.load(path, _params(job, test, inputs, cache, made["format"] if made else "onnx"))
                answers.enter("compile")
                adapter.compile(feeds)
            answers.enter("predict")
            outputs = adapter.predict(feeds)
            adapter.synchronize()
            answers.enter("verify")
            problem = difference(outputs, list(expected.values()), test["output_order"], rtol=test["rtol"], atol=test["atol"],
                                 compare=test["compare"])
            if problem is None and not _unchanged(feeds, inputs):
                problem = "its input was changed"
            if problem is not None:
                return {"status": "failed", "reason": problem}
        return {"status": "passed", **_evidence(adapter)}
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _evidence(adapter: Any) -> Outcome:
    """Whether the backend's own operators did it; null where the adapter cannot say."""
    try:
        found = adapter.evidence()
        reference = [str(name) for name in found.detail.get("reference_operators") or ()]
        executed = sorted({str(name) for name in found.executed_on})
    except Exception as error:
        return {"native": None, "reason": message_of(error), "executed_on": []}
    if found.fallback is not None:
        return {"status": "fallback", "reason": str(found.fallback), "native": False, "executed_on": executed}
    if reference:
        why = "computed by the backend's reference implementation: {}".format(", ".join(reference))
        return {"status": "fallback", "reason": why, "native": False, "executed_on": executed}
    return {"native": True, "executed_on": executed}


def _params(job: Mapping[str, Any], test: Mapping[str, Any], inputs: Arrays, cache: str, form: str) -> Params:
    return Params(
        settings=dict(job["settings"]), precision=job["precision"], device=job["device"], threads=job["threads"],
        seed=int(job.get("seed", 0)), cache_dir=cache, model_name=test["name"], format=form,
        input_order=tuple(test["input_order"]), output_order=tuple(test["output_order"]), batchable=False,
        fixed_batch=test["fixed_batch"], batches=(test["fixed_batch"],), samples=_sampled(inputs))


def _model(job: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    return os.path.join(job["suite"], test["folder"], "model.onnx")


def _named(job: Mapping[str, Any], test: Mapping[str, Any], what: str, number: int, names: List[str]) -> Arrays:
    """The arrays of one data set, which are numbered in their file, by the tensors' own names."""
    arrays = load_arrays(os.path.join(job["suite"], test["folder"], "{}_{}.npz".format(what, number)))
    return {name: arrays[str(place)] for place, name in enumerate(names)}


def _sampled(inputs: Arrays) -> Arrays:
    """As inputs.npz has them: with the leading dimension of the samples, of which a test has one."""
    return {name: array[np.newaxis] for name, array in inputs.items()}


def _unchanged(feeds: Arrays, inputs: Arrays) -> bool:
    return all(feeds[name].tobytes() == inputs[name].tobytes() for name in inputs)


def attempt(run: Callable[..., Outcome], job: Mapping[str, Any], module: Any, test: Mapping[str, Any],
            answers: Answers) -> Outcome:
    """The outcome, whatever the test raises."""
    began = time.perf_counter()
    try:
        outcome = run(job, module, test, answers)
    except (Unsupported, Fallback) as error:
        outcome = {"status": _STATUS[kind_of(error)], "reason": message_of(error)}
    except Exception as error:
        outcome = {"status": _STATUS[kind_of(error)], "reason": message_of(error), "raised": True}
    except SystemExit as error:
        outcome = {"status": "failed", "reason": "it wanted to end the process ({})".format(error), "raised": True}
    reason = outcome.get("reason")
    return {**outcome, "reason": None if reason is None else _without_paths(str(reason), job),
            "phase": None if outcome["status"] == "passed" else answers.phase, "ms": (time.perf_counter() - began) * 1e3}


def _without_paths(text: str, job: Mapping[str, Any]) -> str:
    """Where files lie on this machine says nothing about a backend, and hides in long messages what does."""
    for path in (job["suite"], job.get("artifacts"), job["artifacts_out"], sys.prefix, tempfile.gettempdir()):
        if path and len(path) > 1:
            text = text.replace(path + "/", "")
    return text


def main() -> int:
    """Serve tests until the input ends."""
    parser = argparse.ArgumentParser(prog="conformance_child.py", description="Runs conformance tests; started by the runner.")
    parser.add_argument("--job", required=True, metavar="FILE", help="the job, as JSON")
    parser.add_argument("--answers", required=True, type=int, metavar="FD", help="where answers are written to")
    options = parser.parse_args()
    older.fill_gaps()
    probe.die_with_parent(os.getppid())
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory ends, it is this process that goes, and not the one that keeps the list
    with open(options.job, encoding="utf-8") as file:
        job = json.load(file)
    answers = Answers(options.answers)
    converting = job["stage"] == "convert"
    try:
        module = adapter_module(job)
        if hasattr(module, "environment") and not converting:
            os.environ.update(module.environment(Params(settings=dict(job["settings"]), precision=job["precision"],
                                                        device=job["device"], threads=job["threads"])))
        versions = {} if converting else module.Adapter().versions()
    except Exception as error:
        answers.say({"failure": failure("import", error)})
        return 1
    gc.collect()
    gc.freeze()
    answers.say({"ready": {"import_ms": (time.perf_counter() - _ENTERED) * 1e3, "versions": versions}})
    run = convert_test if converting else run_test
    for line in sys.stdin:
        answers.say({"outcome": attempt(run, job, module, json.loads(line), answers)})
        gc.collect()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
