"""What all trials of a cell together say about how it went: one status, with the reason and where to look."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.fidelity import wrong_answer_reason
from orchestrator.model import Status

Judged = tuple[Mapping[str, Any], Status, str | None]
"""A record with its own status and reason."""
# One trial of these is enough, whatever the others say: an answer that is wrong once cannot be relied on.
_DAMNING = (Status.WRONG_ANSWER, Status.FALLBACK)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The status of a cell; `warning` names trials that failed although the cell as a whole counts."""

    status: Status
    reason: str | None = None
    phase: str | None = None
    log_tail: str | None = None
    warning: str | None = None
    failed: int = 0  # of `run` trials that say something of the backend
    run: int = 0


def record_status(record: Mapping[str, Any]) -> tuple[Status, str | None]:
    """A record's own status and reason; an `ok` is held against the model's tolerance once more.

    Raises ResultError for a status that this version does not know.
    """
    try:
        status = Status(record["status"])
    except ValueError:
        raise ResultError(f"a record of {record['cell']['id']} has the unknown status {str(record['status'])[:40]!r}",
                          hint="it was written by another version of this program") from None
    if status is not Status.OK:
        return status, record.get("reason")
    measurement = record.get("measurement")
    if not measurement:
        return Status.CRASHED, "it ended as if all were well, but left no measurement"
    model = record.get("model") or {}
    wrong = wrong_answer_reason(measurement.get("fidelity"), model.get("tolerance") or {}, model.get("incomparable"))
    return (Status.WRONG_ANSWER, wrong) if wrong else (status, record.get("reason"))


def cell_ending(records: Sequence[Mapping[str, Any]], *, invalid: Sequence[str], valid: int) -> Ending:
    """The status of a cell from its records (at least one), the reasons of its invalid trials, and how many count.

    Wrong answers and fallbacks damn a cell however rare. Of the other failures, the commonest is the cell's status if
    more than half of its trials failed; else they are a warning beside the estimate. Trials that the host failed say
    nothing of the backend and only count where there is nothing else.
    """
    return ending_of(judged_of(records), invalid=invalid, valid=valid)


def judged_of(records: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Every record with its status and reason, in the order of trials and attempts."""
    return [(record, *record_status(record)) for record in sorted(records, key=_order)]


def ending_of(judged: Sequence[Judged], *, invalid: Sequence[str], valid: int) -> Ending:
    """As `cell_ending`, of records that were judged already."""
    trials: dict[int, list[Judged]] = defaultdict(list)
    for item in judged:
        if not item[1].is_infrastructure:
            trials[int(item[0]["trial"]["index"])].append(item)
    failed = [attempts[-1] for attempts in trials.values() if attempts[-1][1] is not Status.OK]
    for damning in _DAMNING:
        for record, status, reason in judged:
            if status is damning:
                return replace(_ending(record, status, reason), failed=len(failed), run=len(trials))
    if not trials:
        return _commonest(judged)
    if 2 * len(failed) > len(trials):
        return replace(_commonest(failed), failed=len(failed), run=len(trials))
    if valid == 0:
        said = Counter(invalid).most_common()
        why = f": {max(said, key=lambda item: (item[1], item[0]))[0]}" if said else ""
        return Ending(status=Status.UNSTABLE, reason=f"{_none_of(len(judged))}{why}", failed=len(failed),
                      run=len(trials))
    if not failed:
        return Ending(status=Status.OK, run=len(trials))
    common = _commonest(failed)
    warning = f"{len(failed)} of {len(trials)} trials failed ({common.status.value}: {common.reason or 'no reason known'})"
    return Ending(status=Status.OK, reason=warning, phase=common.phase, log_tail=common.log_tail, warning=warning,
                  failed=len(failed), run=len(trials))


def _none_of(trials: int) -> str:
    return "its only trial does not count" if trials == 1 else f"none of its {trials} trials counts"


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    trial = record["trial"]
    return int(trial["index"]), int(trial["attempt"]), str(record.get("started")), str(record.get("key"))


def _commonest(items: Sequence[Judged]) -> Ending:
    """The most frequent status, the design's order breaking ties; the last such record speaks for it."""
    counts = Counter(status for _, status, _ in items)
    ranks = {status: number for number, status in enumerate(Status)}
    chosen = max(counts, key=lambda status: (counts[status], -ranks[status]))
    return _ending(*[item for item in items if item[1] is chosen][-1])


def _ending(record: Mapping[str, Any], status: Status, reason: str | None) -> Ending:
    return Ending(status=status, reason=reason or f"{status.value}, and no reason was recorded", phase=record.get("phase"),
                  log_tail=record.get("log_tail") or None)
