"""The plan: everything that is decided before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.config.matrix import MatrixConfig
from orchestrator.config.overrides import Only
from orchestrator.facts.seconds import Known
from orchestrator.model import BackendSpec, Cell, TrialSpec
from orchestrator.plan.cost import Estimate, estimate
from orchestrator.plan.expand import Excluded, Unsupported, expand
from orchestrator.plan.fixedbatch import fit
from orchestrator.plan.trials import Anchor, Round, anchors, choose_anchor, group, rounds
from orchestrator.trees import without_collector


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells, trials, their order, what is left out and why, and about how long it takes."""

    config: MatrixConfig
    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]
    unsupported: tuple[Unsupported, ...]
    warnings: tuple[str, ...]
    specs: tuple[TrialSpec, ...]
    rounds: tuple[Round, ...]
    anchors: tuple[Anchor, ...]
    estimate: Estimate


@without_collector()
def make_plan(
    config: MatrixConfig, registry: Mapping[str, BackendSpec], *, only: Only | None = None,
    weights: Mapping[str, float] | None = None, fixed_batches: Mapping[str, int] | None = None, known: Known | None = None,
) -> Plan:
    """Expand, group, order, estimate. Raises ConfigError.

    `weights`: relative cost of models, for choosing the anchor. `fixed_batches`: the batch of models that take no other.
    `known`: how long such loads took elsewhere, for the estimate.
    """
    expansion = fit(expand(config, registry, only), fixed_batches or {})
    specs = group(expansion.cells)
    order = tuple(rounds(specs, config.profile.trials, config.seed))
    anchor = choose_anchor(specs, weights)
    placed = anchors(order, anchor) if anchor is not None else ()
    return Plan(
        config=config, cells=expansion.cells, excluded=expansion.excluded, unsupported=expansion.unsupported,
        warnings=expansion.warnings, specs=specs, rounds=order, anchors=placed,
        estimate=estimate(specs, config.profile, anchors=len(placed), known=known),
    )
