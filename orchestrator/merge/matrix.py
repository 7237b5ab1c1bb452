"""Records of a run → the matrix document (`infermatrix.matrix/1`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.counting import several
from orchestrator.errors import ResultError
from orchestrator.merge.anchors import anchor_drift
from orchestrator.merge.compare import Comparison, Rule, compare, standing
from orchestrator.merge.costs import TrialCost, cell_costs, trial_costs
from orchestrator.merge.estimate import Estimate, estimate, group_of, hole
from orchestrator.merge.naming import names_of
from orchestrator.merge.state import Gate, gate_trials
from orchestrator.model import Cell, Status
from orchestrator.trees import without_collector

SCHEMA = "infermatrix.matrix/1"
RECORD_SCHEMA = "infermatrix.record/1"
RESULT_PROTOCOL = "infermatrix.result/1"
CLOCKS_SAID = 1.1  # the factor between the slowest and the fastest reading of a group from which it is worth a sentence


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What records say of the planned cells, before it is written down."""

    cells: tuple[dict[str, Any], ...]
    current: tuple[Mapping[str, Any], ...]  # records that measure what their cell is now, anchors included
    gate: Gate
    estimates: tuple[Estimate, ...]  # one per cell
    comparisons: tuple[Comparison, ...]
    costs: Mapping[str, TrialCost]  # by spec
    notes: tuple[str, ...]


@without_collector()
def weigh(
    records: Sequence[Mapping[str, Any]], planned: Iterable[Cell | Mapping[str, Any]], *, asked: int,
    keys: Mapping[str, str] | None = None, rule: Rule | None = None,
) -> Weighed:
    """Gate, estimate and compare; arguments as of `merge`. Raises ResultError for records that must not be mixed."""
    cells = [_mapping(cell) for cell in planned]
    wanted = {str(cell["id"]) for cell in cells}
    _refuse_unlike(records)
    current, notes = _current([r for r in records if r["cell"]["id"] in wanted], keys)
    gate = gate_trials(current)
    by_cell: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in current:
        if not record["trial"].get("anchor"):
            by_cell[str(record["cell"]["id"])].append(record)
    estimates = [_estimate(cell, by_cell.get(str(cell["id"]), ()), gate, asked) for cell in cells]
    costs = trial_costs(current)
    comparisons = compare([one.series for one in estimates if one.series is not None], rule, costs_s=cell_costs(costs))
    return Weighed(
        cells=tuple(cells), current=tuple(current), gate=gate, estimates=tuple(estimates), comparisons=tuple(comparisons),
        costs=costs, notes=(*notes, *_strangers(records, wanted)),
    )


@without_collector()
def merge(
    run: Mapping[str, Any],
    records: Iterable[Mapping[str, Any]],
    planned: Iterable[Cell | Mapping[str, Any]],
    *,
    asked: int,
    hosts: Sequence[Mapping[str, Any]] = (),
    images: Sequence[Mapping[str, Any]] = (),
    models: Sequence[Mapping[str, Any]] = (),
    excluded: Sequence[Mapping[str, Any]] = (),
    keys: Mapping[str, str] | None = None,
    rule: Rule | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The matrix: every planned cell with an estimate or a status, all comparisons, and what to be wary of.

    `planned`: cells, or their canonical mapping with `id`. `asked`: trials per cell. `hosts`: facts by `name`, shown
    beside the states. `keys`: the record key that each cell id has now; records under another key are left out. Without
    it, of records of one cell under several keys, those written last count. `rule`: how comparisons are judged.
    Does not depend on the order of `records`. Raises ResultError for records that must not be mixed.
    """
    everything, rule = list(records), rule or Rule()
    found = weigh(everything, planned, asked=asked, keys=keys, rule=rule)
    gate, estimates = found.gate, found.estimates
    _mark(found.cells, estimates, found.comparisons)
    names = names_of(found.cells)
    drifts = anchor_drift([r for r in found.current if r["trial"].get("anchor")], rule.minimum_effect, names)
    said = [*warnings, *found.notes, *gate.warnings, *_states_said(gate), *_clocks_said(found.comparisons), *drifts,
            *(f"{names[str(one.cell['id'])]}: {warning}" for one in estimates for warning in one.warnings)]
    return {
        "schema": SCHEMA, "run": dict(run), "hosts": _hosts(hosts, everything, gate), "images": list(map(dict, images)),
        "models": list(map(dict, models)), "excluded": list(map(dict, excluded)), "cells": [one.cell for one in estimates],
        "comparisons": [one.to_json() for one in found.comparisons], "warnings": list(dict.fromkeys(said)),
    }


def _mapping(cell: Cell | Mapping[str, Any]) -> dict[str, Any]:
    return {**cell.canonical(), "id": cell.id} if isinstance(cell, Cell) else dict(cell)


def _refuse_unlike(records: Sequence[Mapping[str, Any]]) -> None:
    """Raise ResultError for records of another schema or protocol, or of two machines under one name."""
    machines: dict[str, str] = {}
    for record in records:
        where = f"a record of {str((record.get('cell') or {}).get('id'))[:120]}"
        if record.get("schema") != RECORD_SCHEMA:
            raise ResultError(f"{where} is of schema {str(record.get('schema'))[:60]!r}, not {RECORD_SCHEMA!r}",
                              hint="it was written by another version; measure it again")
        protocol = (record.get("result") or {}).get("protocol", RESULT_PROTOCOL)
        if protocol != RESULT_PROTOCOL:
            raise ResultError(f"{where} was measured by a runner of protocol {str(protocol)[:60]!r}, not {RESULT_PROTOCOL!r}",
                              hint="numbers of different runners must not be mixed; measure it again")
        host, fingerprint = str(record["cell"]["host"]), str((record.get("host") or {}).get("fingerprint"))
        if machines.setdefault(host, fingerprint) != fingerprint:
            raise ResultError(f"the records under the host name {host!r} come from two different machines "
                              f"(fingerprints {machines[host]} and {fingerprint})",
                              hint="give each machine a name of its own, or use another run directory")


def _current(
    records: Sequence[Mapping[str, Any]], keys: Mapping[str, str] | None
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Records that measure what their cell is now; and a sentence on those left out."""
    newest: dict[str, tuple[str, str]] = {}
    for record in records:
        cell, key = str(record["cell"]["id"]), str(record["key"])
        newest[cell] = max(newest.get(cell, ("", "")), (str(record.get("started") or ""), key))
    chosen = {cell: (keys or {}).get(cell, key) for cell, (_, key) in newest.items()}
    current = [r for r in records if r["key"] == chosen[str(r["cell"]["id"])]]
    old = len(records) - len(current)
    them = "it" if old == 1 else "they"
    return current, [f"{several(old, 'record')} left out: {them} measured another environment, model or profile"] if old else []


def _estimate(cell: Mapping[str, Any], records: Sequence[Mapping[str, Any]], gate: Gate, asked: int) -> Estimate:
    if records:
        return estimate(cell, records, gate, asked=asked)
    reason = "planned, but there is no record of it: the run stopped before it, or its records are gone"
    return Estimate(cell=hole(cell, asked=asked, status=Status.NOT_RUN, reason=reason), series=None)


def _mark(cells: Sequence[Mapping[str, Any]], estimates: Sequence[Estimate], comparisons: Sequence[Comparison]) -> None:
    """Fill in `best` and `tied_with`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for cell, one in zip(cells, estimates, strict=True):
        if one.series is not None:
            groups[repr(group_of(cell))].append(str(cell["id"]))
    by_pair = {frozenset((one.a, one.b)): one for one in comparisons}
    for cell, one in zip(cells, estimates, strict=True):
        if one.series is not None:
            others = [other for other in groups[repr(group_of(cell))] if other != cell["id"]]
            one.cell["best"], one.cell["tied_with"] = standing(str(cell["id"]), others, by_pair)


def _strangers(records: Sequence[Mapping[str, Any]], wanted: set[str]) -> list[str]:
    unplanned = sum(1 for record in records if record["cell"]["id"] not in wanted and not record["trial"].get("anchor"))
    return [f"left out: {several(unplanned, 'record')} of cells that this run did not plan"] if unplanned else []


def _states_said(gate: Gate) -> list[str]:
    """A sentence where a host was in several states: estimates are compared within one only."""
    out = []
    for host in sorted({state.host for state in gate.states}):
        timed = [s for s in gate.states if s.host == host and s.core_to_core_ns is not None and s.trials]
        if len(timed) > 1:
            seen = ", ".join(f"{s.id}: {s.core_to_core_ns:.0f} ns in {several(s.trials, 'trial')}" for s in timed)
            out.append(f"the host {host!r} was in {len(timed)} states (core-to-core round trip {seen}): "
                       "numbers are compared only within a state")
    return out


def _clocks_said(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence where comparisons are at equal clocks, with how far the clocks were apart."""
    spreads = [one.clock.spread for one in comparisons if one.clock is not None]
    if not spreads or max(spreads) < CLOCKS_SAID:
        return []
    return [f"while cells were measured, the CPUs' clocks differed by a factor of up to {max(spreads):.2g}: "
            f"{len(spreads)} of {several(len(comparisons), 'comparison')} are at equal clocks, latencies themselves as measured"]


def _hosts(hosts: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]], gate: Gate) -> list[dict[str, Any]]:
    """The hosts given, and any other that has records; each with the states it was seen in."""
    known = {str(host["name"]): dict(host) for host in hosts}
    for record in records:
        name = str(record["cell"]["host"])
        known.setdefault(name, {**(record.get("host") or {}), "name": name})
    found = []
    for name, host in sorted(known.items()):
        states = [{k: v for k, v in asdict(s).items() if k not in ("host", "fingerprint")} for s in gate.states if s.host == name]
        found.append({**host, "states": states})
    return found
