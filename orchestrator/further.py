"""Which trials come next, while a budget lasts: those that may still settle a comparison (pure)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.merge.compare import Comparison
from orchestrator.merge.costs import TrialCost
from orchestrator.merge.spending import Looks
from orchestrator.merge.verdict import Verdict
from orchestrator.model import Cell, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Further:
    """Rounds of the same trials, until the next look."""

    specs: tuple[TrialSpec, ...]
    rounds: int
    round_s: float  # forecast of one of them
    aims: tuple[Comparison, ...]  # what they may settle
    beyond: tuple[Comparison, ...]  # open as well, but it would take more than what is left


def further(
    comparisons: Iterable[Comparison], specs: Sequence[TrialSpec], costs: Mapping[str, TrialCost], *, left_s: float,
    looks: Looks, exhausted: Collection[str] = (),
) -> Further | None:
    """The next rounds, or None where nothing is open, or nothing that is open fits into `left_s`.

    Pairs are made within a round, so both cells of an open comparison are in every round. A round holds as many open
    comparisons as can probably be settled together in the time that is left, those nearest to it first; where none can,
    the nearest of all. (Time spent where it cannot suffice is lost, but so is time that is not spent.) A trial ends with
    the last cell that is needed, and measures those before it as ever: what a process did before must not depend on
    what was open. `costs`: by spec id, of all specs that gave a figure. `exhausted`: cells that no trial can add to.
    """
    homes = {cell.id: spec for spec in specs for cell in spec.cells}
    able = [one for one in comparisons if one.verdict is Verdict.OPEN
            and all(cell in homes and homes[cell].id in costs and cell not in exhausted for cell in (one.a, one.b))]
    able.sort(key=lambda one: (_seconds(one), one.a, one.b))
    fits = [_pair_s(one, homes, costs) <= left_s for one in able]
    chosen: list[Comparison] = []
    beyond = [one for one, can in zip(able, fits, strict=True) if not can]
    rounds: dict[str, float] = {}  # spec -> rounds that the comparisons chosen need of it
    ends: dict[str, Cell] = {}  # spec -> the last cell that is needed
    for one in (one for one, can in zip(able, fits, strict=True) if can):
        more, last = dict(rounds), dict(ends)
        for cell in (one.a, one.b):
            spec = homes[cell]
            more[spec.id] = max(more.get(spec.id, 0.0), _rounds(one))
            last[spec.id] = max(last.get(spec.id, spec.cells[0]), _cell(spec, cell), key=spec.cells.index)
        if _total(more, last, costs) <= left_s or not chosen:
            chosen.append(one)
            rounds, ends = more, last
        else:
            beyond.append(one)
    if not chosen:
        return None
    round_s = _total(dict.fromkeys(ends, 1.0), ends, costs)
    until_look = min(math.ceil((looks.after(one.pairs) - one.pairs) * _rounds_per_pair(one)) for one in chosen)
    return Further(
        specs=tuple(replace(spec, cells=spec.cells[: spec.cells.index(ends[spec.id]) + 1]) for spec in specs if spec.id in ends),
        rounds=max(1, min(until_look, math.floor(left_s / round_s) if round_s > 0 else until_look)), round_s=round_s,
        aims=tuple(chosen), beyond=tuple(beyond),
    )


def _cell(spec: TrialSpec, name: str) -> Cell:
    return next(cell for cell in spec.cells if cell.id == name)


def _pair_s(one: Comparison, homes: Mapping[str, TrialSpec], costs: Mapping[str, TrialCost]) -> float:
    return sum(costs[homes[cell].id].up_to(cell) for cell in (one.a, one.b))


def _rounds(one: Comparison) -> float:
    return math.inf if one.needs is None or one.needs.at_least else one.needs.trials / 2


def _seconds(one: Comparison) -> float:
    return math.inf if one.needs is None or one.needs.at_least or one.needs.seconds is None else one.needs.seconds


def _rounds_per_pair(one: Comparison) -> float:
    """Not every round gives a pair: the machine may change its state between two trials."""
    return 1.0 if not one.pairs else max(1.0, one.rounds / one.pairs)


def _total(rounds: Mapping[str, float], ends: Mapping[str, Cell], costs: Mapping[str, TrialCost]) -> float:
    return sum(number * costs[spec].up_to(ends[spec].id) for spec, number in rounds.items())
