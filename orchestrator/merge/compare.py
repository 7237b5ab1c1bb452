"""Which of two cells is faster: paired by round within one machine state, corrected for all comparisons of the matrix.

The rule, and why (the figures are from `benchmarks/decision_power.py`):

* A pair is two trials in the same machine state, of the same round wherever that round has both in one state: they ran
  close in time, so what disturbs the machine for long cancels in their log-ratio. Pairs of several states count
  together, because the state cancels in each of them; if the ratio itself depends on the state, the interval shows it.
* The interval is the wider of two: a t-interval on the mean log-ratio with a steadied variance (`variance.py`), and the
  bootstrap interval of its median (`statistics.py`). A percentile bootstrap of five pairs alone would call a winner in
  1 of 16 comparisons of a backend with itself, whatever level was asked for; the t-interval alone lets one wild trial
  that happens to agree in sign pass.
* A round whose ratio is more than WILD times off the median over rounds, while the others scatter by less than CALM, is
  left out, one round in four at most: one of its trials was in another state or beside foreign load, unnoticed by the
  probes. (Trials in one state scatter by a few percent, states differ by 1.8 times.) With such rounds in, hardly
  anything would be found where they occur; without the second condition, honest noise would be trimmed away.
* Before that, what the CPUs' clock did to each trial is taken out, where the runner looked at it (`clocks.py`).
* Holm's correction over all comparisons: even one false winner in the whole matrix has a probability of FAMILY_ALPHA.
  In the simulations it is 0 to 2 % where cells are about alike noisy, and at most about 4 % where some are sixteen
  times as noisy as others (variances are steadied towards each other).
* Where trials were added after looking at the result, each comparison's share of that probability is divided over all
  the looks that it may have had (`spending.py`), and Holm's procedure is Holm's weighted one with those shares.
* Faster means faster by more than the minimum effect with that confidence: the interval's near end must lie beyond it.
  An interval that merely excludes 1 would turn a real but meaningless 0.5 % into a winner once trials are many.
  Tied means that all of the interval lies within the minimum effect; what is neither is open (`verdict.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.counting import several
from orchestrator.merge.clocks import Slopes, at_equal_clocks
from orchestrator.merge.rule import FAMILY_ALPHA as FAMILY_ALPHA
from orchestrator.merge.rule import MINIMUM_EFFECT as MINIMUM_EFFECT
from orchestrator.merge.rule import Rule as Rule
from orchestrator.merge.series import Series as Series
from orchestrator.merge.spending import Looks
from orchestrator.merge.statistics import median, median_interval
from orchestrator.merge.variance import steadied
from orchestrator.merge.verdict import Needs, Verdict, growth, needs_of, verdict_of

MIN_PAIRS = 3
WILD = 1.3
CALM = 0.04  # standard deviation of log-ratios
WILD_PART = 4  # at most one round in so many is left out

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cell a against cell b; `ratio` is latency of a ÷ latency of b."""

    group: Mapping[str, Any]
    a: str
    b: str
    ratio: float | None
    interval: tuple[float, float] | None  # corrected for all comparisons of the matrix
    pairs: int
    rounds: int  # in which the cell measured more often has a trial that counts
    state: str | None
    verdict: Verdict
    needs: Needs | None  # only of what is open
    faster: str | None
    why: str
    clock: Slopes | None = None  # where `ratio` is one at equal clocks

    @property
    def decided(self) -> bool:
        """Whether one of them is faster."""
        return self.verdict is Verdict.DECIDED

    def to_json(self) -> dict[str, Any]:
        """As matrix.json holds it."""
        return {
            "group": dict(self.group), "a": self.a, "b": self.b, "ratio": self.ratio,
            "ci": None if self.interval is None else list(self.interval), "pairs": self.pairs, "state": self.state,
            "verdict": self.verdict.value, "needs": None if self.needs is None else self.needs.to_json(),
            "decided": self.decided, "faster": self.faster, "why": self.why,
            "clock": None if self.clock is None else asdict(self.clock),
        }


@dataclass(frozen=True, kw_only=True)
class _Pairing:
    """Two cells with the log-ratios of their pairs; `state` names the states that the pairs are of."""

    a: Series
    b: Series
    state: str | None
    logs: tuple[float, ...]
    wild: int = 0  # rounds left out
    slopes: Slopes | None = None  # with which the clocks were taken out of the trials

    @property
    def rounds(self) -> int:
        """Rounds with a trial of that cell of the two that has more of them."""
        return max(len({r for found in one.medians_ms.values() for r in found}) for one in (self.a, self.b))


def compare(
    series: Sequence[Series], rule: Rule | None = None, *, costs_s: Mapping[str, float] | None = None
) -> list[Comparison]:
    """All pairs within each group, in the order of (group, a, b); independent of the order of `series`.

    `costs_s`: cell id → seconds of one more trial of it, for the forecast of what is open.
    """
    rule = rule or Rule()
    groups: dict[str, list[Series]] = defaultdict(list)
    for one in sorted(series, key=lambda one: (repr(one.group), one.id)):
        groups[repr(one.group)].append(one)
    evened = [at_equal_clocks(members) for members in groups.values()]
    pairings = [_pair(a, b, slopes) for members, slopes in evened for a, b in combinations(members, 2)]
    tested = [pairing for pairing in pairings if len(pairing.logs) >= MIN_PAIRS]
    intervals = _intervals(tested, rule.looks, pooled_freedom=_freedom(groups.values()))
    by_pairing = dict(zip(map(id, tested), intervals, strict=True))
    return [_judge(pairing, by_pairing.get(id(pairing)), rule.minimum_effect, costs_s or {}) for pairing in pairings]


def standing(cell: str, others: Sequence[str], comparisons: Mapping[frozenset[str], Comparison]) -> tuple[bool, list[str]]:
    """(best, tied_with) of a cell among the other ok cells of its group.

    Best only where it was decided to be faster than every one of them, and there is one. Tied with those that it was
    compared with and not told apart from; a pair without enough rounds in common is neither.
    """
    met = {other: comparisons.get(frozenset((cell, other))) for other in others}
    best = bool(met) and all(one is not None and one.faster == cell for one in met.values())
    tied = [other for other, one in met.items() if one is not None and one.interval is not None and not one.decided]
    return best, sorted(tied)


def holm_levels(p_values: Floats, alpha: float, shares: Floats | None = None) -> Floats:
    """The level each comparison's interval is drawn at, so that it excludes 1 exactly where Holm's procedure rejects.

    The k-th smallest p is held against α/(m − k); from the first that fails on, all are drawn at that one's level.
    `shares`: of α that each comparison may spend now. With them p ÷ share takes the place of p: whatever the looks, the
    first true null to be rejected has p ≤ share × α ÷ (number of true nulls), and the shares of its looks add up to 1.
    """
    if shares is not None:
        return holm_levels(p_values / shares, alpha) * shares
    order = np.argsort(p_values, kind="stable")
    steps = alpha / np.arange(p_values.size, 0, -1)
    failed = np.nonzero(p_values[order] > steps)[0]
    if failed.size:
        steps[failed[0]:] = steps[failed[0]]
    levels = np.empty_like(steps)
    levels[order] = steps
    return levels


def _pair(a: Series, b: Series, slopes: Slopes | None) -> _Pairing:
    """Every pair is of one state; pairs of all states count, since the state cancels in each."""
    logs: list[float] = []
    states = []
    for state in sorted(set(a.medians_ms) & set(b.medians_ms)):
        pairs = _pairs(a.medians_ms[state], b.medians_ms[state])
        if pairs:
            states.append(state)
            logs += [math.log(one) - math.log(other) for one, other in pairs]
    if not logs:
        return _Pairing(a=a, b=b, state=None, logs=())
    kept = _without_wild(tuple(logs))
    return _Pairing(a=a, b=b, state="+".join(filter(None, states)) or None, logs=kept, wild=len(logs) - len(kept), slopes=slopes)


def _pairs(one: Mapping[int, float], other: Mapping[int, float]) -> list[tuple[float, float]]:
    """Within a state: rounds in common first; what is left over on both sides is paired in order of time.

    A machine that changes its state every few seconds leaves few rounds with both cells in one state. What a round's
    pairing guards against beyond the state, slow drift, is small beside it.
    """
    common = sorted(one.keys() & other.keys())
    left = zip(sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys()), strict=False)
    return [(one[r], other[r]) for r in common] + [(one[r], other[s]) for r, s in left]


def _without_wild(logs: tuple[float, ...]) -> tuple[float, ...]:
    """Without the rounds that stand apart from all others; in their order."""
    middle = median(logs)
    order = sorted(range(len(logs)), key=lambda i: abs(logs[i] - middle))
    for out in range(len(logs) // WILD_PART, 0, -1):
        kept = [logs[i] for i in order[:-out]]
        if abs(logs[order[-out]] - middle) > math.log(WILD) and stdev(kept) < CALM:
            return tuple(logs[i] for i in sorted(order[:-out]))
    return logs


def _freedom(groups: Any) -> float:
    """Degrees of freedom of all groups as blocks of rounds: (cells − 1) × (rounds − 1) each."""
    total = 0
    for members in groups:
        rounds = max((len(found) for one in members for found in one.medians_ms.values()), default=0)
        total += (len(members) - 1) * max(rounds - 1, 0)
    return float(max(total, 1))


def _intervals(pairings: Sequence[_Pairing], looks: Looks | None, *, pooled_freedom: float) -> list[tuple[float, float]]:
    """Holm-corrected intervals of the log-ratios."""
    from scipy import special  # only here: a run with nothing to merge need not wait for it

    if not pairings:
        return []
    counts = np.array([len(pairing.logs) for pairing in pairings], dtype=np.float64)
    means = np.array([sum(pairing.logs) / len(pairing.logs) for pairing in pairings])
    squares = np.array([sum((x - m) ** 2 for x in p.logs) for p, m in zip(pairings, means, strict=True)])
    variances, freedom = steadied(squares / (counts - 1), counts - 1, pooled_freedom=pooled_freedom)
    errors = np.sqrt(variances / counts)
    shares = None if looks is None else np.array([looks.share(len(pairing.logs)) for pairing in pairings])
    levels = holm_levels(2 * special.stdtr(freedom, -np.abs(means / errors)), FAMILY_ALPHA, shares)
    reach = -special.stdtrit(freedom, levels / 2) * errors
    out = []
    for pairing, mean, half, level in zip(pairings, means, reach, levels, strict=True):
        drawn = median_interval(pairing.logs, 1 - float(level)) or (mean, mean)
        out.append((min(float(mean - half), drawn[0]), max(float(mean + half), drawn[1])))
    return out


def _judge(
    pairing: _Pairing, interval: tuple[float, float] | None, minimum_effect: float, costs_s: Mapping[str, float]
) -> Comparison:
    a, b, count = pairing.a.id, pairing.b.id, len(pairing.logs)
    ratio = math.exp(median(pairing.logs)) if pairing.logs else None
    ends = None if interval is None else (math.exp(max(interval[0], -700.0)), math.exp(min(interval[1], 700.0)))
    verdict = verdict_of(ends, minimum_effect)
    faster = None
    if verdict is Verdict.DECIDED and ends is not None:
        faster = b if ends[0] > 1 else a
    why = _why(ends, count, verdict, minimum_effect)
    if pairing.wild:
        why += f"; {pairing.wild} of {count + pairing.wild} rounds left out, far off all others"
    return Comparison(
        group=dict(pairing.a.group), a=a, b=b, ratio=ratio, interval=ends, pairs=count, rounds=pairing.rounds,
        state=pairing.state, verdict=verdict,
        needs=_needs(pairing, ratio, ends, minimum_effect, costs_s) if verdict is Verdict.OPEN else None,
        faster=faster, why=why, clock=pairing.slopes,
    )


def _needs(
    pairing: _Pairing, ratio: float | None, ends: tuple[float, float] | None, minimum_effect: float, costs_s: Mapping[str, float]
) -> Needs:
    """A forecast from the interval's width, the share of rounds that gave a pair so far, and what trials cost."""
    count = len(pairing.logs)
    if ratio is None or ends is None:
        more = float(MIN_PAIRS - count)
    else:
        more = max(1.0, count * (growth(ratio, ends, minimum_effect) - 1))
    yielded = count / pairing.rounds if count and pairing.rounds else 1.0
    sides = [costs_s.get(one.id) for one in (pairing.a, pairing.b)]
    known = [side for side in sides if side is not None]
    return needs_of(more / yielded, count, round_s=sum(known) if len(known) == len(sides) else None)


def _why(ends: tuple[float, float] | None, count: int, verdict: Verdict, minimum_effect: float) -> str:
    if ends is None:
        return (f"{several(count, 'pair')} of trials in the same machine state; {MIN_PAIRS} needed"
                if count else "never measured in the same machine state")
    effect = f"{100 * minimum_effect:g} %"
    if verdict is Verdict.DECIDED:
        return f"the corrected interval of the ratio lies beyond the minimum effect of {effect}"
    if verdict is Verdict.TIED:
        return f"all of the corrected interval of the ratio lies within the minimum effect of {effect}"
    if ends[0] > 1 or ends[1] < 1:
        return f"they differ, but perhaps by no more than the minimum effect of {effect}"
    return f"the corrected interval of the ratio includes 1 and reaches beyond the minimum effect of {effect}"
