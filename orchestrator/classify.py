"""How a trial ended, told apart from everything that is known of it: a pure table (design §7).

No field alone decides: `OOMKilled` is container-wide, exit code 0 comes with a killed child too, and 137 is both
the out-of-memory killer and our own deadline (harnesses.md §0.1).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.fidelity import wrong_answer_reason
from orchestrator.model import Ending, Outcome, Phase, Status

SIGKILL_EXIT = 128 + signal.SIGKILL
_CELL_STATUS = {"unsupported": Status.UNSUPPORTED, "oom": Status.OOM, "failed": Status.CRASHED, "skipped": Status.TIMEOUT,
                "target_missed": Status.TARGET_MISSED}
_FAILURE_BY_PHASE = {
    Phase.CONVERT.value: Status.CONVERT_FAILED,
    Phase.LOAD.value: Status.COMPILE_FAILED,
    Phase.COMPILE.value: Status.COMPILE_FAILED,
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one cell in one trial."""

    status: Status
    reason: str | None = None
    phase: str | None = None


def classify(
    cells: Sequence[str], outcome: Outcome, result: Mapping[str, Any] | None, problem: str | None, tolerance: Mapping[str, float],
    incomparable: str | None = None,
    *, gpu_lost: str | None = None,
) -> dict[str, Verdict]:
    """A verdict per cell id, from the process's ending and its validated result (or the `problem` with it).

    `gpu_lost`: what NVML says of the trial's GPU, if it is that it is gone; then no failure is the backend's.
    """
    reported = {cell["id"]: cell for cell in (result or {}).get("cells", ())}
    rest = _of_the_rest(outcome, result, problem)
    child_killed = outcome.oom_killed and outcome.ending is Ending.EXITED and bool(result and result.get("complete"))
    verdicts = {}
    for cell in cells:
        if child_killed and reported.get(cell, {}).get("status") != "oom":  # else it can say which process it was
            reason = "a process inside the trial was killed for memory while the trial itself ended normally"
            verdicts[cell] = Verdict(status=Status.OOM, reason=reason, phase=_last_phase(outcome))
        elif cell in reported:
            verdicts[cell] = _of_reported(reported[cell], result or {}, tolerance, incomparable)
        else:
            verdicts[cell] = rest
        if gpu_lost is not None and verdicts[cell].status not in (Status.OK, Status.INTERRUPTED):
            verdicts[cell] = Verdict(status=Status.GPU_LOST, reason=gpu_lost, phase=_last_phase(outcome))
    return verdicts


def _of_reported(
    cell: Mapping[str, Any], result: Mapping[str, Any], tolerance: Mapping[str, float], incomparable: str | None
) -> Verdict:
    fallback = (result.get("evidence") or {}).get("fallback")
    if fallback:
        return Verdict(status=Status.FALLBACK, reason=fallback, phase=Phase.VERIFY.value)
    if cell["status"] != "ok":
        return Verdict(status=_CELL_STATUS[cell["status"]], reason=cell.get("reason"), phase=cell.get("phase"))
    wrong = wrong_answer_reason(cell.get("fidelity"), tolerance, incomparable)
    if wrong:
        return Verdict(status=Status.WRONG_ANSWER, reason=wrong, phase=Phase.VERIFY.value)
    return Verdict(status=Status.OK)


def _of_the_rest(outcome: Outcome, result: Mapping[str, Any] | None, problem: str | None) -> Verdict:
    """What holds for the cells that the result does not speak of."""
    phase = _last_phase(outcome)
    failure = (result or {}).get("failure")
    if outcome.ending is Ending.LOST:
        return Verdict(status=Status.HOST_LOST, reason=outcome.detail or "the engine went away", phase=phase)
    if outcome.ending is Ending.INTERRUPTED:
        return Verdict(status=Status.INTERRUPTED, reason="the run was stopped", phase=phase)
    if failure:
        return _of_failure(failure)
    if outcome.ending is Ending.DEADLINE:
        return Verdict(status=Status.TIMEOUT, reason=f"not done after {outcome.wall_s:.0f} s (phase {phase})", phase=phase)
    if outcome.oom_killed:
        return Verdict(status=Status.OOM, reason="killed for exceeding the memory limit", phase=phase)
    if problem:
        return Verdict(status=Status.CRASHED, reason=f"its result cannot be used: {problem}", phase=phase)
    return Verdict(status=Status.CRASHED, reason=_of_exit(outcome), phase=phase)


def _of_failure(failure: Mapping[str, Any]) -> Verdict:
    phase, kind, message = failure["phase"], failure["kind"], failure["message"]
    by_kind = {"unsupported": Status.UNSUPPORTED, "oom": Status.OOM, "fallback": Status.FALLBACK}
    return Verdict(status=by_kind.get(kind) or _FAILURE_BY_PHASE.get(phase, Status.CRASHED), reason=message, phase=phase)


def _of_exit(outcome: Outcome) -> str:
    code = outcome.exit_code
    if code is None:
        return outcome.detail or "it ended without an exit code"
    if code == 0:
        return "it exited with code 0 and left no result"
    if code == SIGKILL_EXIT:
        return "killed by signal 9 (SIGKILL), and neither by this program nor by its memory limit"
    if code > 128:
        try:
            return f"killed by signal {code - 128} ({signal.Signals(code - 128).name})"
        except ValueError:
            pass
    return f"it exited with code {code}" + (f": {outcome.detail}" if outcome.detail else "")


def _last_phase(outcome: Outcome) -> str | None:
    phase = outcome.events[-1].get("phase") if outcome.events else Phase.START.value
    return phase if phase in {known.value for known in Phase} else None
