"""Forecasts in words: how many more trials, and how long they take."""

from __future__ import annotations

import math


def duration_text(seconds: float) -> str:
    """`40 s`, `3 min 20 s`, `2 h 5 min`: two units at most, and no more precision than a forecast has."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def needs_text(trials: int, seconds: float | None, *, at_least: bool, left_s: float | None = None) -> str:
    """`about 12 more trials, 40 s`; what it will at least take where the forecast has no end. `left_s`: of a budget."""
    time = "" if seconds is None else f", {duration_text(_rounded(seconds))}"
    said = f"{'more than' if at_least else 'about'} {_rounded(trials):,.0f} more trials{time}"
    if at_least:
        said += "; perhaps never: the difference may be just the minimum effect"
    if left_s is not None and seconds is not None and seconds > left_s:
        said += "; more than the budget"
    return said


def _rounded(value: float) -> float:
    """To two digits from a hundred on: a forecast knows no more."""
    if value < 100:
        return float(math.ceil(value))
    unit = 10 ** (math.floor(math.log10(value)) - 1)
    return float(math.ceil(value / unit) * unit)
