"""All records of one cell → its estimate, or the status that says why there is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.fidelity import wrong_answer_reason
from orchestrator.merge.accuracy import NOT_TRIED, accuracy_of
from orchestrator.merge.clocks import clock_of
from orchestrator.merge.conditions import trial_key
from orchestrator.merge.endings import Ending, Judged, ending_of, judged_of
from orchestrator.merge.metrics import Measured, metrics_of, no_metrics
from orchestrator.merge.samples import decode_samples, trial_numbers
from orchestrator.merge.series import Series
from orchestrator.merge.state import Gate
from orchestrator.merge.statistics import Stability, median, median_interval, stability
from orchestrator.model import Status

GROUP = ("model", "scenario", "batch", "precision", "threads", "instances", "options", "device", "host")
NO_STATE = ""  # of trials without probes
ENOUGH_IN_REFERENCE = 3  # trials in the usual state, from which a cell's estimate is taken there whatever else it saw
_WORST = {"max_abs": max, "rel_l2": max, "mismatch_fraction": max, "nan": max, "inf": max, "cosine": min, "topk_agreement": min,
          "checked": min}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One cell as matrix.json holds it (without `best` and `tied_with`), and what comparisons need of it."""

    cell: dict[str, Any]
    series: Series | None  # only of cells that are ok
    warnings: tuple[str, ...] = ()  # of this cell; whoever shows them says which


def estimate(planned: Mapping[str, Any], records: Sequence[Mapping[str, Any]], gate: Gate, *, asked: int) -> Estimate:
    """`records`: all of this cell (not anchors), at least one; `asked`: trials that the profile wants."""
    batch = int(planned["batch"])
    judged = judged_of(records)
    by_state, invalid, disturbed = _sort_out(judged, gate, batch)
    state = _choose(by_state, frozenset(s.id for s in gate.states if s.reference))
    used = by_state.get(state, [])
    reasons = [item["reason"] for item in invalid]
    for other, trials in by_state.items():
        if other != state:
            why = f"measured in machine state {other or 'unknown'}; the estimate is of state {state or 'unknown'}"
            invalid += [_left_out(trial.record, why) for trial in trials]
    ending = ending_of(judged, invalid=reasons, valid=len(used))
    cell = _frame(planned, [record for record, _, _ in judged], ending)
    cell["trials"] = {"asked": asked, "run": ending.run, "failed": ending.failed, "valid": len(used),
                      "invalid": sorted(invalid, key=lambda i: (i["trial"], i["attempt"]))}
    cell["fidelity"] = _fidelity(records)
    cell["accuracy"], no_accuracy = accuracy_of(records)
    if ending.status is Status.UNSTABLE and disturbed:
        # a rough idea of the size, under a status that says not to rely on it; never compared
        metrics, null_reasons = metrics_of(disturbed, batch)
        cell.update(state=None, metrics=metrics, stability=_stability(disturbed, asked))
        cell["stability"]["verdict"] = Stability.UNSTABLE.value
        cell["null_reasons"] = {**null_reasons, **_missing(cell, records, no_accuracy), "state": "none of its trials counts"}
        return Estimate(cell=cell, series=None)
    if ending.status is not Status.OK:
        why = f"no estimate: the cell is {ending.status.value}"
        cell.update(state=None, metrics=no_metrics(), stability=_no_stability(why))
        cell["null_reasons"] = {"metrics": why, "state": why, **_missing(cell, records, no_accuracy)}
        return Estimate(cell=cell, series=None)
    metrics, null_reasons = metrics_of(used, batch)
    cell.update(state=state or None, metrics=metrics, stability=_stability(used, asked))
    cell["null_reasons"] = {**null_reasons, **_missing(cell, records, no_accuracy)}
    if not state:
        cell["null_reasons"]["state"] = "the trials carry no probes"
    warnings = (ending.warning,) if ending.warning else ()
    return Estimate(cell=cell, series=_series(planned, by_state), warnings=warnings)


def hole(planned: Mapping[str, Any], *, asked: int, status: Status, reason: str, phase: str | None = None) -> dict[str, Any]:
    """A planned cell without any record."""
    cell = _frame(planned, [], Ending(status=status, reason=reason, phase=phase))
    why = f"no estimate: the cell is {status.value}"
    cell.update(trials={"asked": asked, "valid": 0, "invalid": []}, state=None, metrics=no_metrics(), fidelity=None,
                accuracy=None, stability=_no_stability(why))
    cell["null_reasons"] = {"metrics": why, "state": why, **_missing(cell)}
    return cell


def group_of(planned: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What two cells must have in common to be compared."""
    return tuple((name, planned.get(name) or {} if name == "options" else planned[name]) for name in GROUP)


def _sort_out(
    judged: Sequence[Judged], gate: Gate, batch: int
) -> tuple[dict[str, list[Measured]], list[dict[str, Any]], list[Measured]]:
    """Trials that count, by machine state; those that do not, with the reason; and what the disturbed of them measured."""
    by_state: dict[str, list[Measured]] = defaultdict(list)
    invalid, disturbed = [], []
    for record, status, reason in judged:
        verdict = gate.trials[trial_key(record)]
        if status is not Status.OK:
            invalid.append(_left_out(record, f"{status.value}: {reason or 'no reason was recorded'}"))
            continue
        try:
            found = record["measurement"]
            numbers = trial_numbers(
                decode_samples(found.get("samples") or {}), batch, throughput_ips=found.get("throughput_ips"),
                headline_ms=found.get("headline_ms"),
            )
        except ResultError as error:
            invalid.append(_left_out(record, error.message))
            continue
        measured = Measured(record=record, numbers=numbers)
        if verdict.valid:
            by_state[verdict.state or NO_STATE].append(measured)
        else:
            invalid.append(_left_out(record, verdict.reason or "not valid"))
            disturbed.append(measured)
    return dict(by_state), invalid, disturbed


def _left_out(record: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {"trial": int(record["trial"]["index"]), "attempt": int(record["trial"]["attempt"]), "reason": reason}


def _choose(by_state: Mapping[str, Sequence[Measured]], reference: frozenset[str]) -> str:
    """The state a cell is estimated in: the usual one if it has trials enough there, else where it has most."""
    most = max(map(len, by_state.values()), default=0)
    usual = [s for s in by_state if s in reference and len(by_state[s]) >= min(ENOUGH_IN_REFERENCE, most)]
    if usual:
        return min(usual)
    return min((s for s in by_state if len(by_state[s]) == most), default=NO_STATE)


def _series(planned: Mapping[str, Any], by_state: Mapping[str, Sequence[Measured]]) -> Series:
    """Medians and clocks by state and round; where a round was repeated in the same state, their geometric means."""
    medians: dict[str, dict[int, float]] = {}
    clocks: dict[str, dict[int, tuple[float, float]]] = {}
    for state, trials in by_state.items():
        rounds: dict[int, list[float]] = defaultdict(list)
        seen: dict[int, list[tuple[float, float] | None]] = defaultdict(list)
        for trial in trials:
            compared = trial.numbers.headline_ms
            if compared is not None:
                number = int(trial.record["trial"]["round"])
                rounds[number].append(compared)
                seen[number].append(clock_of(trial.record))
        medians[state] = {number: geometric_mean(found) for number, found in rounds.items()}
        clocks[state] = {number: (geometric_mean([own for own, _ in known]), geometric_mean([both for _, both in known]))
                         for number, found in seen.items() if len(known := [one for one in found if one]) == len(found)}
    return Series(id=str(planned["id"]), group=group_of(planned), medians_ms=medians, clocks=clocks)


def _stability(used: Sequence[Measured], asked: int) -> dict[str, Any]:
    drifts = [trial.numbers.drift for trial in used if trial.numbers.drift is not None]
    correlations = [trial.numbers.autocorrelation for trial in used if trial.numbers.autocorrelation is not None]
    drift = median(drifts) if drifts else None
    compared = [trial.numbers.headline_ms for trial in used if trial.numbers.headline_ms is not None]
    whole = len(compared) == len(used) > 0  # trials that were cut short are the slow ones
    interval, centre = median_interval(compared) if whole else None, median(compared) if whole else 0.0
    verdict = stability(interval=interval, centre=centre, drift=drift, valid=len(used), asked=asked)
    width = None if interval is None else (interval[1] - interval[0]) / centre
    out: dict[str, Any] = {"verdict": verdict.value, "ci_relative_width": width, "drift": drift,
                           "autocorrelation": median(correlations) if correlations else None}
    few = f"at most {max(trial.numbers.count for trial in used):,} samples per trial, or all alike"
    out["null_reasons"] = {name: "no interval" if name == "ci_relative_width" else few for name, v in out.items() if v is None}
    return out


def _missing(
    cell: Mapping[str, Any], records: Sequence[Mapping[str, Any]] = (), no_accuracy: str = NOT_TRIED
) -> dict[str, str]:
    """Reasons for what a cell may lack whatever its status."""
    incomparable = _incomparable(records)
    compared = f"not comparable: {incomparable}" if incomparable else "no output was compared with the reference"
    whys = {"fidelity": compared, "accuracy": no_accuracy, "evidence": "no trial got far enough to say what executed",
            "backend_version": "no trial got far enough to report it"}
    out = {name: why for name, why in whys.items() if cell[name] is None}
    for name, value in (cell["fidelity"] or {}).items():
        if value is None:
            out[f"fidelity.{name}"] = "not measured"
    return out


def _no_stability(why: str) -> dict[str, Any]:
    names = ("verdict", "ci_relative_width", "drift", "autocorrelation")
    return {**dict.fromkeys(names), "null_reasons": dict.fromkeys(names, why)}


def _fidelity(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The worst of all trials, with the tolerance it is held against; None where nothing was compared."""
    found = [(r, r["measurement"]["fidelity"]) for r in records if (r.get("measurement") or {}).get("fidelity")]
    if not found or _incomparable(records):
        return None
    out: dict[str, Any] = {}
    for name, worst in _WORST.items():
        values = [one[name] for _, one in found if one.get(name) is not None]
        out[name] = worst(values) if values else None
    model = found[0][0].get("model") or {}
    tolerance = dict(model.get("tolerance") or {})
    wrong = [why for _, one in found if (why := wrong_answer_reason(one, tolerance))]
    return {**out, "verdict": "wrong" if wrong else "within tolerance", "tolerance": tolerance,
            "reference_source": model.get("reference_source")}


def _incomparable(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Why no outputs of the cell's model can be held against a reference; None where they can."""
    return next((str(why) for record in records if (why := (record.get("model") or {}).get("incomparable"))), None)


def _frame(planned: Mapping[str, Any], records: Sequence[Mapping[str, Any]], ending: Ending) -> dict[str, Any]:
    """A cell's identity and ending, from its records in order; metrics and the like are filled in by the caller."""
    results = [r["result"] for r in records if r.get("result")]
    evidence = next((result["evidence"] for result in results if result.get("evidence")), None)
    kinds = Counter(str(r["isolation"]) for r in records if r.get("isolation"))
    return {
        **{name: planned[name] for name in ("id", "label", "backend")},
        "backend_version": planned.get("backend_version") or _version(results, str(planned["backend"])),
        **{name: planned[name] for name in ("settings", "model", "host", "device")},
        "isolation": min(kinds) if kinds else None,
        **{name: planned[name] for name in ("precision", "batch", "threads", "instances", "scenario")},
        "options": dict(planned.get("options") or {}), **({"compiled": planned["compiled"]} if "compiled" in planned else {}),
        "status": ending.status.value, "reason": ending.reason, "phase": ending.phase, "log_tail": ending.log_tail,
        "evidence": evidence, "best": False, "tied_with": [],
    }


def _version(results: Sequence[Mapping[str, Any]], backend: str) -> str | None:
    """The backend's version as it reported it: under its own name, else the only one that is not the runner's."""
    for result in results:
        versions = {name: v for name, v in (result.get("versions") or {}).items() if v and name not in ("numpy", "python")}
        if versions:
            return versions.get(backend) or (next(iter(versions.values())) if len(versions) == 1 else None)
    return None
