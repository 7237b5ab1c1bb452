"""The second part of a run with a budget: look at what is open, measure that, look again, until all is settled.

The budget is of the run directory, not of one invocation: it covers the time of all trials whose records are there, those
of the profile's own rounds included (which run in any case). So the same command again goes on with what is left after
an interruption, does nothing once all is settled or the time is spent, and goes on with a larger budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.bench import Bench
from orchestrator.forecast import duration_text, needs_text
from orchestrator.further import Further, further
from orchestrator.merge.compare import Comparison
from orchestrator.merge.costs import spent_s
from orchestrator.merge.matrix import Weighed, weigh
from orchestrator.merge.rule import rule_of
from orchestrator.merge.spending import Looks
from orchestrator.merge.verdict import Verdict
from orchestrator.plan.plan import Plan
from orchestrator.plan.trials import rounds
from orchestrator.schedule import Schedule, Slot

_OPEN_SHOWN = 5


@dataclass(kw_only=True)
class Budget:
    """What is left of it, and what to do with that."""

    plan: Plan
    bench: Bench
    schedule: Schedule
    limit_s: float
    say: Callable[[str], None]
    before_s: float = field(init=False)  # spent by earlier invocations

    def __post_init__(self) -> None:
        self.before_s = spent_s(self._look().current)

    @property
    def left_s(self) -> float:
        """Seconds of the budget that no trial has taken yet; negative where the profile's own rounds took more."""
        return self.limit_s - self.before_s - self.schedule.tally.trials_s

    def next(self) -> Further | None:
        """What should be measured now, on the records that are there."""
        return self._next(self._look())

    def spend(self) -> None:
        """Rounds and looks until nothing is open, nothing open fits into the time left, or somebody stops it."""
        found = self._look()
        number = max(self.plan.config.profile.trials, _last_round(found))  # the last may have been cut off
        resumed = True
        while not self.bench.stop.requested:
            chosen = self._next(found)
            for line in outlook(found.comparisons, chosen, left_s=self.left_s, limit_s=self.limit_s):
                self.say(line)
            if chosen is None:
                return
            trials = self.schedule.tally.trials
            for _ in range(chosen.rounds):
                slots = self._slots(chosen, number)
                self.schedule.prepare([slots])
                self.schedule.run([slots])
                number += 1
                if self.bench.stop.requested or self.left_s < chosen.round_s:
                    break
            if self.schedule.tally.trials == trials and not resumed:
                return  # its cells fail now: there is nothing that more rounds could add
            resumed = False
            found = self._look()

    def _next(self, found: Weighed) -> Further | None:
        looks = Looks(first=self.plan.config.profile.trials)
        settled = {cell.id for cell in self.plan.cells if self.schedule.is_settled(cell)}
        return further(found.comparisons, self.plan.specs, found.costs, left_s=self.left_s, looks=looks, exhausted=settled)

    def _look(self) -> Weighed:
        config, bench = self.plan.config, self.bench
        trials = config.profile.trials
        rule = rule_of(minimum_effect=config.minimum_effect, trials=trials, budget_s=self.limit_s)
        keys = {cell.id: bench.key(cell) for cell in self.plan.cells}
        return weigh(list(bench.store.read_all()), self.plan.cells, asked=trials, keys=keys, rule=rule)

    def _slots(self, chosen: Further, number: int) -> list[Slot]:
        """One round: shuffled as the profile's rounds are."""
        order = rounds(chosen.specs, 1, self.plan.config.seed + 7919 * number)[0]
        return [Slot(spec=spec, index=number, round=number, position=position) for position, (spec, _) in enumerate(order)]


def outlook(comparisons: Sequence[Comparison], chosen: Further | None, *, left_s: float, limit_s: float) -> list[str]:
    """How far the comparisons are, what is open, what comes next and how long it may take; lines for a person (pure)."""
    counts = Counter(one.verdict for one in comparisons)
    lines = [f"{len(comparisons)} comparisons: " + ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)]
    still = [one for one in comparisons if one.verdict is Verdict.OPEN]
    order = sorted(still, key=lambda one: (one.needs is None or one.needs.at_least, one.needs.trials if one.needs else 0))
    for one in order[:_OPEN_SHOWN]:
        lines.append(f"  open: {one.a} : {one.b} — {_forecast(one, left_s)}")
    if len(order) > _OPEN_SHOWN:
        lines.append(f"  and {len(order) - _OPEN_SHOWN} more")
    left = f"{duration_text(left_s)} of the budget of {duration_text(limit_s)} left"
    if not still:
        return [*lines, f"all settled; {left}"]
    if chosen is None:
        return [*lines, f"no time left for what is open: {left}"]
    known = [one.needs.seconds for one in chosen.aims if one.needs and one.needs.seconds is not None and not one.needs.at_least]
    likely = [seconds for seconds in known if seconds <= left_s]
    whole = f"; what is aimed at may be settled in {duration_text(min(sum(likely), left_s))}" if likely else ""
    late = len(chosen.beyond) + len(chosen.aims) - len(likely)
    beyond = f"; {late} probably not within the budget" if late else ""
    return [*lines, f"next: {chosen.rounds} × {len(chosen.specs)} trials, about {duration_text(chosen.rounds * chosen.round_s)}"
                    f"{whole}{beyond}; {left}"]


def _forecast(one: Comparison, left_s: float) -> str:
    if one.needs is None:
        return "no forecast"
    return needs_text(one.needs.trials, one.needs.seconds, at_least=one.needs.at_least, left_s=left_s)


def _last_round(found: Weighed) -> int:
    """The last round that any trial belongs to."""
    numbers = (int(record["trial"]["round"]) for record in found.current if not record["trial"].get("anchor"))
    return max(numbers, default=0)
