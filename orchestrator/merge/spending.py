"""What looking more than once costs: the error that a matrix may make is shared out over the looks.

Who measures until a difference shows will find one. So where trials are added after looking at the result, each
comparison's share of the error depends on how often it may have been looked at. This is alpha spending (Lan & DeMets
1983, "Discrete sequential boundaries for clinical trials") along the number of pairs, with a looks' schedule and a
spending sequence as in stitched confidence sequences (Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", §3.1): looks at 5, 7, 10, 14, 19, 26 … pairs (each GROWTH times the one before), and the j-th has
1 ÷ (j (j + 1)) of the error: ½, ⅙, 1⁄12, 1⁄20 … The shares of endlessly many looks add up to 1, so by the union bound the
error over all looks is that of one: whatever made someone stop or go on, how long the budget was, how often it was
raised. No joint distribution of the looks is assumed, which five trials could not tell. Half is for the first look,
since most comparisons are clear at once. The price, with ten comparisons and many degrees of freedom: an interval is 6 %
wider at the first look than if it were the only one, 16 % at the second, a third at the sixth (26 pairs).

The share is a function of the number of pairs alone: no record of the looks is needed, and records merged again give
the same matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GROWTH = 4 / 3


@dataclass(frozen=True, kw_only=True)
class Looks:
    """When a comparison is looked at; `first`: pairs at its first look (the trials of the profile)."""

    first: int

    def ordinal(self, pairs: int) -> int:
        """Which look a comparison of so many pairs is at, from 1."""
        number, at = 1, self.first
        while pairs > at:
            number, at = number + 1, math.ceil(at * GROWTH)
        return number

    def after(self, pairs: int) -> int:
        """How many pairs it has at its next look: always more."""
        at = self.first
        while at <= pairs:
            at = math.ceil(at * GROWTH)
        return at

    def share(self, pairs: int) -> float:
        """The share of the error that may be made with so many pairs."""
        number = self.ordinal(pairs)
        return 1 / (number * (number + 1))
