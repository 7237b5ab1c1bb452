"""What `infermatrix plan` shows: as lines for people, as JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.config.matrix import MatrixConfig
from orchestrator.counting import several
from orchestrator.model import Cell, Compiled, Scenario, TrialSpec
from orchestrator.plan.plan import Plan

SCHEMA = "infermatrix.plan/1"
_MAX_ROWS = 200


def plan_lines(plan: Plan) -> list[str]:
    """The plan as plain lines: conditions, cells, what is left out, time."""
    config, estimate = plan.config, plan.estimate
    isolation = config.isolation.value if config.isolation else "auto"
    lines = [
        f"{config.name} ({config.source}): profile {config.profile.name}, isolation {isolation}, seed {config.seed}, "
        f"minimum effect {config.minimum_effect:.1%}",
        f"{several(len(plan.cells), 'cell')} in {several(len(plan.specs), 'load')}, "
        f"{several(config.profile.trials, 'trial')} of each"
        + (f" + {len(plan.anchors)} of the anchor cell" if plan.anchors else "")
        + f" = {several(estimate.trials, 'trial')}",
        *_budget(plan),
        "",
        *_table(plan.specs, config),
    ]
    if plan.unsupported:
        lines += ["", f"Unsupported, shown as such in the matrix: {several(len(plan.unsupported), 'cell')}"]
        lines += _grouped((u.reason, u.cell) for u in plan.unsupported)
    if plan.excluded:
        lines += ["", f"Left out: {several(len(plan.excluded), 'combination')}"]
        lines += _grouped((e.why, e.cell) for e in plan.excluded)
    lines += [f"Note: {warning}" for warning in plan.warnings]
    lines += ["", f"Time: about {_duration(estimate.seconds)}, at most {_duration(estimate.at_most_s)}, assuming"]
    lines += [f"  {sentence}" for sentence in estimate.assumptions]
    return lines


def _grouped(cells: Iterable[tuple[str, Cell]]) -> list[str]:
    """One line per reason, with the first cells that it holds for."""
    by_reason: dict[str, list[Cell]] = {}
    for why, cell in cells:
        by_reason.setdefault(why, []).append(cell)
    return [f"  {len(found)} × {why}: {'; '.join(map(_name, found[:3]))}{'; …' if len(found) > 3 else ''}"
            for why, found in by_reason.items()]


def _budget(plan: Plan) -> list[str]:
    limit_s = plan.config.budget_s
    if limit_s is None:
        return []
    first = plan.estimate.seconds
    rest = ("which is all of it" if first >= limit_s else
            f"then about {_duration(limit_s - first)} for more of them where the ranking is open")
    return [f"budget {_duration(limit_s)}: these trials in any case, about {_duration(first)}, {rest}"]


def plan_json(plan: Plan) -> dict[str, Any]:
    """The same, complete: cells with ids, specs, order, what is left out, estimate."""
    config = plan.config
    return {
        "schema": SCHEMA,
        "name": config.name, "source": config.source, "seed": config.seed, "minimum_effect": config.minimum_effect,
        "budget_s": config.budget_s,
        "isolation": config.isolation.value if config.isolation else "auto",
        "profile": {
            "name": config.profile.name, "trials": config.profile.trials, "min_duration_s": config.profile.min_duration_s,
            "min_iterations": config.profile.min_iterations, "warmup_s": config.profile.warmup_s,
        },
        "limits": {"cpus": list(config.limits.cpus), "memory_mb": config.limits.memory_mb, "pids": config.limits.pids},
        "cells": [_json(cell) for cell in plan.cells],
        "unsupported": [{**_json(u.cell), "reason": u.reason} for u in plan.unsupported],
        "excluded": [{**_json(e.cell), "why": e.why} for e in plan.excluded],
        "warnings": list(plan.warnings),
        "trials": [{"id": spec.id, "cells": [cell.id for cell in spec.cells]} for spec in plan.specs],
        "rounds": [[spec.id for spec, _ in trials] for trials in plan.rounds],
        "anchors": [
            {"at": a.at, "spec": a.spec.id, "cell": a.spec.cells[0].id, "round": a.round, "position": a.position}
            for a in plan.anchors
        ],
        "estimate": {
            "trials": plan.estimate.trials, "seconds": round(plan.estimate.seconds, 1),
            "at_most_s": round(plan.estimate.at_most_s, 1), "assumptions": list(plan.estimate.assumptions),
        },
    }


def _table(specs: Iterable[TrialSpec], config: MatrixConfig) -> list[str]:
    """One row per load: its coordinates, then its cells."""
    specs = list(specs)
    rows = [("model", "backend", "device", "precision", "threads", "cells")]
    for spec in specs[:_MAX_ROWS]:
        first = spec.cells[0]
        rows.append((first.model, _backend(first, config), first.device, first.precision, _layout(first), _cells(spec)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return lines + _more(len(specs))


def _backend(cell: Cell, config: MatrixConfig) -> str:
    """The label, with what sets it apart: backend, version, settings that were written down or included."""
    row = config.row(cell.label)
    changed = [k for k in cell.settings if k in row.given - row.swept or cell.settings[k] != row.entry.settings[k]]
    notes = [cell.backend] if cell.label != cell.backend else []
    notes += [cell.backend_version] if cell.backend_version else []
    notes += [f"{name}={_spelt(cell.settings[name])}" for name in changed]
    notes += ["compiled kept"] if cell.compiled is Compiled.KEPT else []
    return f"{cell.label} ({', '.join(notes)})" if notes else cell.label


def _cells(spec: TrialSpec) -> str:
    batches: dict[str, list[str]] = {}
    for cell in spec.cells:
        batches.setdefault(cell.scenario.value, []).append(str(cell.batch))
    return "; ".join(f"{scenario} batch {', '.join(values)}" for scenario, values in batches.items())


def _name(cell: Cell) -> str:
    return (f"{cell.label} × {cell.model}, {cell.device} {cell.precision}, {cell.scenario.value} batch {cell.batch}, "
            + (several(cell.threads, "thread") if cell.instances == 1 else f"{_layout(cell)} threads"))


def _layout(cell: Cell) -> str:
    """Threads; of several instances, how many of each."""
    plain = cell.instances == 1 and cell.scenario is not Scenario.MULTI_INSTANCE
    return str(cell.threads) if plain else f"{cell.instances} × {cell.threads}"


def _json(cell: Cell) -> dict[str, Any]:
    return {"id": cell.id, **cell.canonical()}


def _more(total: int) -> list[str]:
    return [f"  … and {total - _MAX_ROWS} more (--json lists all)"] if total > _MAX_ROWS else []


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
