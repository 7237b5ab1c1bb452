"""Small print beside a figure that counts: what a reader has to know of it, and what each mark means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.merge.statistics import DRIFT_NOISY, DRIFT_UNSTABLE, NOISY_WIDTH, STABLE_WIDTH
from orchestrator.report.cells import CellView, part
from orchestrator.report.units import finite

_SHAKY = {
    "noisy": f"The interval is wider than {STABLE_WIDTH:.0%} of the figure, trials drifted by more than {DRIFT_NOISY:.0%} from "
             "their first half to their second, or fewer trials count than were asked for.",
    "unstable": f"The interval is wider than {NOISY_WIDTH:.0%} of the figure, trials drifted by more than {DRIFT_UNSTABLE:.0%}, "
                "or one trial only counts: take it for its order of magnitude.",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """`text` stands beside the figure; `sign` and `meaning` in the legend, once per kind of mark."""

    text: str
    sign: str
    meaning: str


def marks_of(cell: CellView) -> tuple[Mark, ...]:
    """All marks of a cell with a figure that counts, worst news first; none for any other."""
    if not cell.is_ok:
        return ()
    found = []
    trials = part(cell.raw, "trials")
    failed, run = finite(trials.get("failed")), finite(trials.get("run"))
    if failed and run:
        found.append(Mark(
            text=f"‡ {run - failed:.0f} of {run:.0f} trials", sign="‡ 3 of 5 trials",
            meaning="The others failed: the figure is of those that did not. Its details say how they failed."))
    has, given = finite(part(part(cell.raw, "evidence"), "detail").get("threads")), finite(cell.raw.get("threads"))
    if has and given and has < given:
        found.append(Mark(
            text=f"{has:.0f} of {given:.0f} threads", sign="1 of 2 threads",
            meaning="The backend itself says that it uses fewer threads than it was given; the figure is of those."))
    if cell.not_comparable:
        found.append(Mark(text="outputs not compared", sign="outputs not compared",
                          meaning="Two right answers of the model need not agree: nothing to hold its outputs against."))
    if cell.verdict not in (None, "stable"):
        found.append(Mark(text=cell.verdict, sign=cell.verdict, meaning=_SHAKY.get(cell.verdict, "Not stable over the trials.")))
    return tuple(found)


def legend_of(cells: Iterable[CellView]) -> tuple[Mark, ...]:
    """One of each kind of mark that occurs, in a fixed order."""
    by_sign = {mark.sign: mark for cell in cells for mark in marks_of(cell)}
    return tuple(by_sign[sign] for sign in sorted(by_sign, key=lambda sign: (not sign.startswith("‡"), sign)))
