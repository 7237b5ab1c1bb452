"""Numbers within sentences, as people read them."""

import math


def figure(value: float, digits: int = 3) -> str:
    """`digits` significant digits without an exponent: `3,730`, `0.0121`; digits before the point are never dropped."""
    if value == 0 or not math.isfinite(value):
        return "{:g}".format(value)
    exponent = int("{:.{}e}".format(value, digits - 1).partition("e")[2])  # after rounding: 999.7 is 1,000
    text = "{:,.{}f}".format(value, max(0, digits - 1 - exponent))
    return text.rstrip("0").rstrip(".") if "." in text else text
