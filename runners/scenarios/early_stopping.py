"""How many requests may miss the latency target: LoadGen's early-stopping rule (`loadgen/early_stopping.cc`). Pure.

Of n requests t missed the target. If the true share of misses were 1 − p or more, t or fewer would be seen with
probability BinomCDF(t; n, 1 − p). Where that is 1 % or less, the percentile p meets the target with 99 % confidence.
"""

import math
from typing import Optional, Sequence

CONFIDENCE = 0.99


def allowed_misses(requests: int, percentile: float) -> Optional[int]:
    """The most misses among so many requests that still prove the target; None where not even 0 would."""
    share, log_rest = 1 - percentile, math.log(percentile)
    total, found = 0.0, None
    for misses in range(requests):
        log_term = (math.lgamma(requests + 1) - math.lgamma(misses + 1) - math.lgamma(requests - misses + 1)
                    + misses * math.log(share) + (requests - misses) * log_rest)
        total += math.exp(log_term)
        if total > 1 - CONFIDENCE:
            return found
        found = misses
    return found


def needed_requests(misses: int, percentile: float) -> int:
    """The fewest requests of which so many may miss: 459 for none at p99, 662 for one, 1,307 for five."""
    low, high = misses, 2 * (misses + 1)
    while not _proves(high, misses, percentile):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _proves(middle, misses, percentile):
            high = middle
        else:
            low = middle
    return high


def upper_bound(ordered: Sequence[int], percentile: float) -> Optional[int]:
    """The percentile's upper bound at 99 % confidence, from latencies in ascending order; None where they are too few."""
    allowed = allowed_misses(len(ordered), percentile)
    return None if not allowed else ordered[len(ordered) - allowed]


def _proves(requests: int, misses: int, percentile: float) -> bool:
    allowed = allowed_misses(requests, percentile)
    return allowed is not None and allowed >= misses
