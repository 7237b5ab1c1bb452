"""How the comparisons of a matrix are judged: the error that all of them together may make, and what counts as a difference."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.merge.spending import Looks

FAMILY_ALPHA = 0.02
MINIMUM_EFFECT = 0.02


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`looks`: of a run that adds trials where they are needed; None: its comparisons are looked at once."""

    minimum_effect: float = MINIMUM_EFFECT
    looks: Looks | None = None


def rule_of(*, minimum_effect: float, trials: int, budget_s: float | None) -> Rule:
    """The rule of a run; `trials`: of its profile."""
    return Rule(minimum_effect=minimum_effect, looks=None if budget_s is None else Looks(first=trials))


def correction_text(rule: Rule) -> str:
    """The level of the comparisons, in one sentence for whoever reads a report."""
    many = ("and over all looks at them (alpha spending: half at the first look, then a sixth, a twelfth …)"
            if rule.looks is not None else "looked at once")
    return (f"any false winner in the whole matrix: at most {FAMILY_ALPHA:.0%}; corrected over all comparisons (Holm) {many}; "
            f"minimum effect {rule.minimum_effect:.2g}")
