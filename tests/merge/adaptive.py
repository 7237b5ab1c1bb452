"""Made-up matrices measured with a budget: rounds, look, more rounds where the planner wants them. Shared with the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.further import further
from orchestrator.merge.compare import Comparison, Rule, Series, compare
from orchestrator.merge.costs import TrialCost
from orchestrator.merge.spending import Looks
from orchestrator.merge.verdict import Verdict
from orchestrator.model import Cell, Scenario, TrialSpec
from tests.merge.simulate import Noise, Shape, scatter

TRIAL_S = 1.0
Logs = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One simulated matrix at its end."""

    comparisons: list[Comparison]
    trials: int
    looks: int


def cell_of(group: int, number: int) -> Cell:
    return Cell(
        label=f"c{number}", backend="b", settings={}, backend_version=None, model=f"m{group}", host="local", device="cpu",
        precision="fp32", batch=1, threads=1, instances=1, scenario=Scenario.SINGLE_STREAM,
    )


def measure(logs: Logs, *, first: int, budget_s: float, every_round: bool = False, rule: Rule | None = None) -> Ended:
    """`logs`: log-medians of (groups, cells, rounds), more rounds than can be used. `every_round`: look after each."""
    groups, cells, most = logs.shape
    looks = Looks(first=first)
    rule = rule or Rule(looks=looks)
    table = {(g, c): cell_of(g, c) for g in range(groups) for c in range(cells)}
    specs = [TrialSpec(id=cell.id, cells=(cell,)) for cell in table.values()]
    costs = {cell.id: TrialCost(overhead_s=TRIAL_S / 2, cells_s={cell.id: TRIAL_S / 2}) for cell in table.values()}
    seconds = dict.fromkeys(costs, TRIAL_S)
    medians = {where: {r: float(np.exp(logs[(*where, r)])) for r in range(first)} for where in table}
    trials, at, seen = first * len(specs), first, 0
    while True:
        series = [Series(id=table[where].id, group=(("model", where[0]),), medians_ms={"s1": dict(found)})
                  for where, found in medians.items()]
        found, seen = compare(series, rule, costs_s=seconds), seen + 1
        chosen = further(found, specs, costs, left_s=budget_s - trials * TRIAL_S, looks=looks)
        if chosen is None or at >= most:
            return Ended(comparisons=found, trials=trials, looks=seen)
        wanted = {spec.id for spec in chosen.specs}
        for _ in range(1 if every_round else chosen.rounds):
            if at >= most or trials + len(wanted) > budget_s / TRIAL_S:
                break
            for where, cell in table.items():
                if cell.id in wanted:
                    medians[where][at] = float(np.exp(logs[(*where, at)]))
                    trials += 1
            at += 1


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Over many matrices."""

    false_winner: float  # matrices with any
    false_tie: float  # matrices in which a planted difference beyond the minimum effect was called a tie
    settled: float  # share of all comparisons
    found: float  # share of comparisons with the planted cell, decided rightly
    trials: float  # mean per cell
    looks: float


def rates(
    shape: Shape, noise: Noise, sigma: float, *, budget: float, slowdown: float = 0.0, repeats: int = 100, seed: int = 1,
    every_round: bool = False, rule: Rule | None = None, source: Callable[[np.random.Generator, Shape], Logs] | None = None,
) -> Rates:
    """`shape.trials` is the profile's; `budget`: trials per cell, in the mean; the first cell of each group is slower."""
    rng = np.random.default_rng(seed)
    wide = Shape(cells=shape.cells, groups=shape.groups, trials=int(shape.trials + budget * shape.cells))
    false = tie = settled = found = planted = trials = looks = 0
    for _ in range(repeats):
        logs = scatter(rng, wide, noise, sigma) if source is None else source(rng, wide)
        logs[:, 0] += np.log1p(slowdown)
        slow = {cell_of(g, 0).id for g in range(shape.groups)} if slowdown else set()
        end = measure(
            logs, first=shape.trials, budget_s=budget * shape.cells * shape.groups * TRIAL_S, every_round=every_round, rule=rule
        )
        hit = [one for one in end.comparisons if slow & {one.a, one.b}]
        false += any(one.decided and (one not in hit or one.faster in slow) for one in end.comparisons)
        tie += any(one.verdict is Verdict.TIED for one in hit)
        settled += sum(one.verdict is not Verdict.OPEN for one in end.comparisons)
        found += sum(one.decided and one.faster not in slow for one in hit)
        planted += len(hit)
        trials, looks = trials + end.trials, looks + end.looks
    cells = repeats * shape.cells * shape.groups
    return Rates(
        false_winner=false / repeats, false_tie=tie / repeats, settled=settled / (repeats * shape.comparisons),
        found=found / max(planted, 1), trials=trials / cells, looks=looks / repeats,
    )
