"""Cells whose device this machine has not: nothing is prepared for them, and whoever plans is told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.counting import several
from orchestrator.facts.seconds import Known
from orchestrator.gpus import Gpu, lacking
from orchestrator.plan.cost import Estimate, estimate
from orchestrator.plan.plan import Plan


def on_this_machine(plan: Plan, gpus: Sequence[Gpu], why: str | None) -> Plan:
    """The plan with the cells alone that can run here. `why`: there is no GPU."""
    return replace(plan, cells=tuple(cell for cell in plan.cells if lacking(cell.device, gpus, why) is None))


def time_here(plan: Plan, gpus: Sequence[Gpu], why: str | None, known: Known) -> Estimate:
    """The plan's time without the loads that end before a process is started."""
    specs = [spec for spec in plan.specs if lacking(spec.cells[0].device, gpus, why) is None]
    return estimate(specs, plan.config.profile, anchors=len(plan.anchors), known=known)


def absent_notes(plan: Plan, gpus: Sequence[Gpu], why: str | None) -> tuple[str, ...]:
    """One sentence per device that is not here."""
    found = Counter(reason for cell in plan.cells if (reason := lacking(cell.device, gpus, why)) is not None)
    return tuple(f"{several(count, 'cell')} will be `not run` here, and nothing is fetched for that: {reason}"
                 for reason, count in found.items())
