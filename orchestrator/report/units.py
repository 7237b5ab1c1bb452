"""Numbers as a reader wants them: few digits, one unit for everything that stands side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """What a metric is counted in: the sign shown after it."""

    MS = "ms"
    PER_SECOND = "/s"
    MB = "MB"
    SECONDS = "s"
    JOULE = "J"
    WATT = "W"
    MEGAHERTZ = "MHz"
    CELSIUS = "°C"
    FRACTION = "%"
    COUNT = ""
    PLAIN = " "


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A unit of time and what milliseconds are multiplied by to get there."""

    sign: str
    factor: float


MICROSECONDS = Scale(sign="µs", factor=1000.0)
MILLISECONDS = Scale(sign="ms", factor=1.0)
SECONDS = Scale(sign="s", factor=0.001)


def time_scale(milliseconds: Iterable[float]) -> Scale:
    """The unit for values that will be compared: chosen by the smallest, so that none becomes 0.0x."""
    positive = [value for value in milliseconds if value > 0]
    if not positive:
        return MILLISECONDS
    smallest = min(positive)
    return MICROSECONDS if smallest < 0.1 else SECONDS if smallest >= 10_000 else MILLISECONDS


def finite(value: object) -> float | None:
    """`value` if it is a finite number (a bool is none), else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def decimals(value: float, significant: int = 3) -> int:
    """Decimal places that show `significant` digits of `value`."""
    if value == 0:
        return 0
    return max(0, min(12, significant - 1 - math.floor(math.log10(abs(value)))))


def plain(value: float, places: int | None = None) -> str:
    """`1,234.5`: grouped, three significant digits unless `places` says otherwise; `1.2e-07` where it is tiny."""
    if value != 0 and (abs(value) < 1e-4 or abs(value) >= 1e12) and places is None:
        return f"{value:.2g}"
    return f"{value:,.{decimals(value) if places is None else places}f}"


def with_interval(value: float, low: float | None, high: float | None) -> tuple[str, str | None]:
    """`("12.1", "12.0–12.3")`: as many decimals as the interval's width needs, at most five digits of the value."""
    if low is None or high is None:
        return plain(value), None
    width = abs(high - low)
    places = decimals(value)
    if width > 0:
        places = max(places, min(decimals(width, 1), decimals(value, 5)))
    # An end that rounds to nothing is shown by its own digits: 0 would claim what was not measured.
    ends = (plain(end, places if round(end, places) else None) for end in (low, high))
    return plain(value, places), "–".join(ends)


def quantity(value: float, unit: Unit, scale: Scale | None = None) -> str:
    """A value with its unit; a time changes unit by itself unless `scale` is given."""
    if unit is Unit.MS:
        scale = scale or time_scale([value])
        return f"{plain(value * scale.factor)} {scale.sign}"
    if unit is Unit.FRACTION:
        return f"{plain(value * 100)} %"
    if unit is Unit.COUNT:
        return f"{value:,.0f}" if value == int(value) else plain(value)
    if unit is Unit.PER_SECOND:
        return f"{plain(value)}/s"
    return f"{plain(value)} {unit.value}".strip()


def percent(fraction: float) -> str:
    """A difference in per cent with two digits: `1.8 %`."""
    value = abs(fraction) * 100
    return f"{plain(value, decimals(value, 2))} %"
