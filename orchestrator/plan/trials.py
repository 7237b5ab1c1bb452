"""Cells → trial specs, and the order of trials: seeded rounds, blocked by model, so that rivals run close in time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.model import Cell, Scenario, TrialSpec

Round = list[tuple[TrialSpec, int]]
"""One trial of every spec: (spec, index of the trial)."""

_SCENARIO_ORDER: Mapping[Scenario, int] = {scenario: index for index, scenario in enumerate(Scenario)}


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """One more measurement of the anchor cell: runs before position `position` of round `round`."""

    at: str  # start | middle | end
    spec: TrialSpec
    round: int
    position: int  # may equal the round's length: after its last trial


def group(cells: Iterable[Cell]) -> tuple[TrialSpec, ...]:
    """Cells that share a load → one spec each, in the order of first appearance; the id depends on the load only."""
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_shared(cell), []).append(cell)
    return tuple(
        TrialSpec(
            id=_spec_id(members[0]),
            cells=tuple(sorted(members, key=lambda cell: (_SCENARIO_ORDER[cell.scenario], cell.batch))),
        )
        for members in groups.values()
    )


def rounds(specs: Sequence[TrialSpec], n_trials: int, seed: int) -> list[Round]:
    """`n_trials` rounds of every spec once: models shuffled, and inside a model its specs.

    The order depends on the set of specs and the seed only, not on how the matrix lists them.
    """
    by_model: dict[str, list[TrialSpec]] = {}
    for spec in sorted(specs, key=lambda spec: spec.id):
        by_model.setdefault(spec.cells[0].model, []).append(spec)
    result: list[Round] = []
    for index in range(n_trials):
        rng = random.Random(f"{seed}/{index}")  # text seeds are hashed by SHA-512: the same on every Python
        models = sorted(by_model)
        rng.shuffle(models)
        order: Round = []
        for model in models:
            block = list(by_model[model])
            rng.shuffle(block)
            order += [(spec, index) for spec in block]
        result.append(order)
    return result


def anchors(order: Sequence[Round], spec: TrialSpec) -> tuple[Anchor, ...]:
    """Where the anchor is measured again: before the first trial, half-way, after the last; () if there is no trial."""
    lengths = [len(trials) for trials in order]
    total = sum(lengths)
    if total == 0:
        return ()
    before = 0
    middle = (0, 0)
    for number, length in enumerate(lengths):
        if before <= total // 2 < before + length:
            middle = (number, total // 2 - before)
        before += length
    last = len(order) - 1
    places = {"start": (0, 0), "middle": middle, "end": (last, lengths[last])}
    return tuple(
        Anchor(at=at, spec=spec, round=number, position=position) for at, (number, position) in places.items()
    )


def choose_anchor(specs: Sequence[TrialSpec], weights: Mapping[str, float] | None = None) -> TrialSpec | None:
    """A cheap spec, reduced to its first cell (the lowest batch); None where there is no spec.

    A plain loop before any other scenario: of what a start takes, too much is not the machine's doing.

    `weights`: relative cost of models by name, where known; a spec's cells are its first cost, its id decides ties.
    """
    if not specs:
        return None
    known = weights or {}
    heaviest = max(known.values(), default=1.0)

    def cost(spec: TrialSpec) -> tuple[bool, float, int, int, str]:
        first = spec.cells[0]
        return not first.scenario.shares_a_load, known.get(first.model, heaviest), first.batch, -first.threads, spec.id

    best = min(specs, key=cost)
    return replace(best, cells=best.cells[:1])


def _shared(cell: Cell) -> tuple[object, ...]:
    """What `Cell.load_key` digests, as a tuple: digesting 10⁵ cells one by one would take seconds."""
    settings = tuple(sorted((name, type(value).__name__, value) for name, value in cell.settings.items()))
    alone = (None if cell.scenario.shares_a_load else cell.scenario, tuple(sorted(cell.options.items())))
    return (cell.label, cell.backend, cell.backend_version, cell.model, cell.host, cell.device, cell.precision, cell.threads,
            cell.instances, cell.compiled, settings, alone)


def _spec_id(cell: Cell) -> str:
    parts = ("".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in text)
             for text in (cell.label, cell.model))
    return f"t-{'-'.join(parts)}-{cell.load_key[:8]}"
