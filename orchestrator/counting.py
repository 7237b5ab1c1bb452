"""Numbers within sentences: no exponents for what people read, and one trial is not "1 trials"."""

from __future__ import annotations

import math


def several(number: int, noun: str, plural: str | None = None) -> str:
    """`1 trial`, `12 trials`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def figure(value: float, digits: int = 3) -> str:
    """`digits` significant digits without an exponent: `3,730`, `0.0121`; digits before the point are never dropped."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # after rounding: 999.7 is 1,000
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
