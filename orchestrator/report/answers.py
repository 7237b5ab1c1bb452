"""What one group of comparable cells says, in one sentence that claims no more than was decided (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Any

from orchestrator.report.cells import CellView, items
from orchestrator.report.metrics import View
from orchestrator.report.text import joined, one_line
from orchestrator.report.units import Scale, finite, percent, plain

_MORE_TRIALS = "needs more trials"
_NAMED_AT_MOST = 6
_TIE_WIDTH = 0.10  # an interval that allows more says too little to be called a tie
_KNOWN = ("decided", "tied", "open")
_ANYTHING = 10.0  # a possible difference beyond tenfold is no statement at all


class Verdict(Enum):
    """What can be said about who is fastest."""

    DECIDED = "decided"
    TIED = "tied"
    UNDECIDED = "undecided"
    ALONE = "alone"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`headline` + `rest` read as one sentence; `caveats` names the cells without a figure and the unstable ones."""

    verdict: Verdict
    headline: str
    rest: str
    caveats: str

    @property
    def sentence(self) -> str:
        return self.headline + self.rest


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The paired comparison of two cells that both have a right answer: `ratio` = latency of a / latency of b."""

    a: CellView
    b: CellView
    ratio: float | None
    ci: tuple[float, float] | None
    trials: int | None
    faster: CellView | None  # only where the comparison is decided
    why: str
    verdict: str | None = None  # decided | tied | open; a matrix from before there were verdicts has none
    needs: str = ""  # what would settle an open one, in words

    @property
    def speedup(self) -> float | None:
        """How many times as fast the faster one is; None unless decided."""
        if self.faster is None or not self.ratio:
            return None
        return self.ratio if self.faster is self.b else 1 / self.ratio

    @property
    def speedup_ci(self) -> tuple[float, float] | None:
        if self.faster is None or self.ci is None or min(self.ci) <= 0:
            return None
        low, high = self.ci
        return (low, high) if self.faster is self.b else (1 / high, 1 / low)

    @property
    def within(self) -> float | None:
        """The largest difference that the interval allows, as a fraction."""
        return None if self.ci is None else max(abs(end - 1) for end in self.ci)

    def speedup_text(self) -> str:
        """1.40× (1.36–1.45); empty unless decided."""
        if self.speedup is None:
            return ""
        ends = self.speedup_ci
        return times(self.speedup) + (f" ({times(ends[0])[:-1]}–{times(ends[1])[:-1]})" if ends else "")


def times(factor: float) -> str:
    """ "1.40×": two decimals below ten."""
    return f"{plain(factor, 2 if factor < 10 else 1 if factor < 100 else 0)}×"


def pairs_in(cells: Sequence[CellView], by_pair: Mapping[frozenset[str], Mapping[str, Any]]) -> tuple[Pair, ...]:
    """The comparisons among cells that have a right answer: a wrong one has no speed to compare."""
    found = []
    for one, other in combinations([cell for cell in cells if cell.is_ok], 2):
        raw = by_pair.get(frozenset((one.id, other.id)))
        if raw is not None:
            first, second = (one, other) if str(raw.get("a")) == one.id else (other, one)
            found.append(_pair(first, second, raw))
    return tuple(found)


def _pair(a: CellView, b: CellView, raw: Mapping[str, Any]) -> Pair:
    low, high = ([finite(end) for end in items(raw.get("ci"))] + [None, None])[:2]
    faster = {a.id: a, b.id: b}.get(str(raw.get("faster"))) if raw.get("decided") is True else None
    trials = finite(raw.get("pairs"))
    return Pair(a=a, b=b, ratio=finite(raw.get("ratio")), ci=None if low is None or high is None else (low, high),
                trials=None if trials is None else int(trials), faster=faster, why=one_line(raw.get("why"), 200),
                verdict=raw.get("verdict") if raw.get("verdict") in _KNOWN else None, needs=one_line(raw.get("needs_text"), 200))


def answer_for(cells: Sequence[CellView], pairs: Sequence[Pair], scale: Scale) -> Answer:
    """One sentence for one group; never a winner that the merge did not flag."""
    right = [cell for cell in cells if cell.is_ok and cell.view_value(View.LATENCY) is not None]
    caveats = _caveats([cell for cell in cells if cell not in right], [cell for cell in right if cell.verdict == "unstable"])
    if not right:
        return Answer(verdict=Verdict.NONE, headline="No valid figure", rest=f": {_counts(cells)}.", caveats=caveats)
    if len(right) == 1:
        rest = f" gave a valid figure: {figure(right[0], scale)}; there is nothing to compare it with."
        return Answer(verdict=Verdict.ALONE, headline=f"Only {right[0].label}", rest=rest, caveats=caveats)
    best = [cell for cell in right if cell.is_best]
    between = {frozenset((pair.a.anchor, pair.b.anchor)): pair for pair in pairs}
    if len(best) == 1 and not best[0].tied_with:
        return _decided(best[0], right, between, scale, caveats)
    beaten = {_slower(pair).anchor for pair in pairs if pair.faster is not None}
    leaders = [cell for cell in right if cell.anchor not in beaten] or right
    if len(leaders) > 1 and all(
        is_tie(one, other, between.get(frozenset((one.anchor, other.anchor)))) for one, other in combinations(leaders, 2)
    ):
        return _tie(leaders, between, scale, caveats)
    return _undecided(leaders, between, caveats)


def figure(cell: CellView, scale: Scale) -> str:
    """ "12.1 ms (95 % CI 12.0–12.3)", or the scenario's own figure likewise."""
    shown = cell.in_view(View.LATENCY, scale)
    return shown.text + (f" (95 % CI {shown.interval})" if shown.interval else "")


def _decided(best: CellView, right: Sequence[CellView], between: Mapping[frozenset[str], Pair], scale: Scale,
             caveats: str) -> Answer:
    others = sorted((c for c in right if c is not best), key=lambda c: c.cost)
    won = [pair for c in others if (pair := between.get(frozenset((best.anchor, c.anchor)))) and pair.faster is best]
    beaten = [_slower(pair) for pair in won]
    open_against = [cell.label for cell in others if cell not in beaten]
    rest = f": {figure(best, scale)}"
    if beaten and beaten[0] is others[0]:
        rest += f", {won[0].speedup_text()} the speed of {beaten[0].label}"
    if open_against:
        rest += f"; not decided against {_names(open_against)}"
    return Answer(verdict=Verdict.DECIDED, headline=f"Fastest: {best.label}", rest=f"{rest}.", caveats=caveats)


def _tie(leaders: Sequence[CellView], between: Mapping[frozenset[str], Pair], scale: Scale, caveats: str) -> Answer:
    ordered = sorted(leaders, key=lambda cell: cell.cost)
    pairs = [between.get(frozenset((a.anchor, b.anchor))) for a, b in combinations(ordered, 2)]
    widest = [pair.within if pair else None for pair in pairs]
    known = [width for width in widest if width is not None]
    within = f", difference within {percent(max(known))}" if known and len(known) == len(widest) else ""
    rest = f"{within}: {figure(ordered[0], scale)}"
    return Answer(verdict=Verdict.TIED, headline=f"Tied: {_names([c.label for c in ordered])}", rest=f"{rest}.",
                  caveats=caveats)


def _undecided(leaders: Sequence[CellView], between: Mapping[frozenset[str], Pair], caveats: str) -> Answer:
    if len(leaders) == 1:
        return Answer(verdict=Verdict.UNDECIDED, headline="Not decided", rest=f": {_MORE_TRIALS}.", caveats=caveats)
    open_pairs = [pair for a, b in combinations(leaders, 2)
                  if not is_tie(a, b, pair := between.get(frozenset((a.anchor, b.anchor))))]
    # Where forecasts differ, the pair that needs most speaks for all: the widest interval.
    widest = max(open_pairs, key=lambda pair: (pair is None, pair.within or 0.0 if pair else 0.0), default=None)
    why = _why_open(widest) if open_pairs else _MORE_TRIALS
    return Answer(verdict=Verdict.UNDECIDED, headline="Not decided",
                  rest=f" between {_names([cell.label for cell in leaders])}: {why.rstrip('.')}.", caveats=caveats)


def is_tie(one: CellView, other: CellView, pair: Pair | None) -> bool:
    """The merge could not tell them apart, and the interval is narrow enough for that to mean "as fast as"."""
    if pair is not None and pair.verdict is not None:
        return pair.verdict == "tied"
    named = other.id in one.tied_with or one.id in other.tied_with
    within = pair.within if pair else None
    return named and (within is None or within <= _TIE_WIDTH)


def _why_open(pair: Pair | None) -> str:
    if pair is None:
        return f"not all of them were compared; {_MORE_TRIALS}"
    more = f"needs {pair.needs}" if pair.needs else _MORE_TRIALS
    if pair.within is not None and pair.within > _ANYTHING:
        return f"the trials scatter too widely to say anything; {more}"
    if pair.within is not None and (pair.within > _TIE_WIDTH or pair.needs):
        return f"the difference may be up to {percent(pair.within)}; {more}"
    return f"{pair.why}; {more}" if pair.why and pair.needs else pair.why or more


def _slower(pair: Pair) -> CellView:
    return pair.b if pair.faster is pair.a else pair.a


def _names(labels: Sequence[str]) -> str:
    if len(labels) <= _NAMED_AT_MOST:
        return joined(list(labels))
    return f"{', '.join(labels[:_NAMED_AT_MOST])} and {len(labels) - _NAMED_AT_MOST} more"


def _counts(cells: Sequence[CellView]) -> str:
    counts = Counter(cell.status.title for cell in cells)
    return joined([f"{number} × {title}" if number > 1 else title for title, number in counts.items()])


def _caveats(missing: Sequence[CellView], unstable: Sequence[CellView]) -> str:
    said = []
    if missing:
        said.append(f"Without a figure that counts: {_names([f'{cell.label} ({cell.status.title})' for cell in missing])}.")
    if unstable:
        said.append(f"Unstable over the trials: {_names([cell.label for cell in unstable])}.")
    return " ".join(said)
