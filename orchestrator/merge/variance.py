"""How much paired ratios scatter: each comparison's own variance, steadied by what all the others show.

With five trials a variance of its own is so uncertain that a t-interval must be very wide (t = 4.6 at 1 %, but 21 at
the levels that a matrix of a hundred comparisons asks for). Comparisons of one matrix come from one machine, so each
variance is drawn towards the typical one, by as much as they resemble each other: empirical Bayes after Smyth 2004,
"Linear models and empirical Bayes methods", as genomics uses it for the same case, many comparisons of few samples.
Where the variances differ widely, they are left as they are, and the plain t-interval is what remains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FLOOR = 1e-4**2  # no clock and no machine repeats a median to better than 1 in 10,000
MIN_TO_POOL = 3  # comparisons, below which nothing is learnt from the others


def steadied(variances: Floats, freedom: Floats, *, pooled_freedom: float) -> tuple[Floats, Floats]:
    """Posterior variances and their degrees of freedom; both of shape (comparisons,).

    `freedom`: degrees of freedom of each variance (pairs − 1, ≥ 1). `pooled_freedom`: all that the data has
    (comparisons share cells, so it is less than the sum): no result claims more.
    """
    from scipy import special  # only here: a run with nothing to merge need not wait for it

    variances = np.maximum(variances, FLOOR)
    if variances.size < MIN_TO_POOL:
        return variances, freedom
    centred = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(np.var(centred, ddof=1) - np.mean(special.polygamma(1, freedom / 2)))
    prior_freedom = 2 * _inverse_trigamma(excess) if excess > 1e-2 else 200.0
    prior = np.exp(np.mean(centred) + special.digamma(prior_freedom / 2) - np.log(prior_freedom / 2))
    together = (prior_freedom * prior + freedom * variances) / (prior_freedom + freedom)
    return together, np.maximum(np.minimum(prior_freedom + freedom, pooled_freedom), freedom)


def _inverse_trigamma(value: float) -> float:
    """y with trigamma(y) = value > 0, by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    from scipy import special  # only here: a run with nothing to merge need not wait for it

    guess = 0.5 + 1 / value
    for _ in range(50):
        now = float(special.polygamma(1, guess))
        step = now * (1 - now / value) / float(special.polygamma(2, guess))
        guess += step
        if -step / guess < 1e-8:
            break
    return guess
