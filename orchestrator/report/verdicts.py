"""Every comparison in words: decided, tied, or how much more measuring it needs (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.forecast import needs_text
from orchestrator.report.answers import Pair
from orchestrator.report.cells import part
from orchestrator.report.units import finite

_WORDS = {"decided": "decided", "tied": "tied", "open": "open"}


def budget_left_s(matrix: Mapping[str, Any]) -> float | None:
    """Seconds that a run had left of its budget; None for a run without one, or several runs merged."""
    run = part(matrix, "run")
    limit, spent = finite(part(run, "budget").get("seconds")), finite(part(run, "budget").get("spent_s"))
    return None if limit is None or run.get("merged") else max(0.0, limit - (spent or 0.0))


def needs_of(raw: Mapping[str, Any], left_s: float | None) -> str:
    """What an open comparison still needs, in words; empty where the matrix has no forecast."""
    needs = part(raw, "needs")
    trials = finite(needs.get("trials"))
    if trials is None:
        return ""
    return needs_text(int(trials), finite(needs.get("seconds")), at_least=needs.get("at_least") is True, left_s=left_s)


def said(pair: Pair) -> str:
    """One comparison: who is faster and by how much, or that it is a tie, or that it is open and what it takes."""
    ends = "" if pair.ci is None else f"ratio {pair.ci[0]:.3f}–{pair.ci[1]:.3f}"
    if pair.faster is not None:
        return f"{pair.faster.label} {pair.speedup_text()}"
    if pair.verdict == "tied":
        return f"tied, {ends}"
    if pair.verdict == "open":
        return "open: " + "; ".join(filter(None, (ends, pair.why, pair.needs)))
    return "not decided" + (f", {ends}" if ends else "") + f": {pair.why}"


def counted(pairs: Sequence[Pair]) -> str:
    """ "4 decided, 1 tied, 1 open"; empty for matrices from before there were verdicts."""
    counts = Counter(pair.verdict for pair in pairs)
    if None in counts:
        return ""
    return ", ".join(f"{counts[key]} {word}" for key, word in _WORDS.items() if counts[key])
