"""Results of instances that measured together → one cell (pure)."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from measure import unpack

MAX_NAMED = 16  # instances with figures of their own in the details; a machine may have hundreds
_LOWER_IS_WORSE = ("cosine", "topk_agreement", "top5_agreement", "checked")
_HIGHER_IS_WORSE = ("max_abs", "rel_l2", "mismatch_fraction")


@dataclass(frozen=True)
class Timeline:
    """One instance's inferences on the shared clock, in ns: shape (n,) each."""

    starts: np.ndarray
    ends: np.ndarray
    begin: int
    end: int

    @property
    def durations(self) -> np.ndarray:
        return self.ends - self.starts


def timeline(cell: Mapping[str, Any]) -> Timeline:
    """From a cell's samples in order and its loop's window: what lies between two samples is shared out evenly.

    Both ends of the loop are exact, and only there does it matter where an inference lies.
    """
    samples, window = unpack(cell["samples"]).astype(np.float64), cell["window"]
    begin, end = int(window["begin_ns"]), int(window["end_ns"])
    gap = max(0.0, (end - begin) - float(samples.sum())) / len(samples)
    ends = begin + np.cumsum(samples + gap)
    return Timeline(ends - samples, ends, begin, end)


def common_window(lines: Sequence[Timeline]) -> Tuple[int, int]:
    """In which all were measuring; empty (end ≤ begin) where one had ended before another began."""
    return max(line.begin for line in lines), min(line.end for line in lines)


def completed(line: Timeline, window: Tuple[int, int]) -> float:
    """Inferences in the window; one that its edge cuts counts for the part inside.

    Whole ones only would be too few by up to one per instance: a tenth, where an instance has time for ten.
    """
    inside = np.minimum(line.ends, window[1]) - np.maximum(line.starts, window[0])
    return float(np.sum(np.clip(inside, 0, None) / np.maximum(line.durations, 1)))


def pooled_samples(lines: Sequence[Timeline], window: Tuple[int, int]) -> List[int]:
    """Durations in ns of what began and ended in the window, all instances together, in the order of their ends."""
    starts, ends = (np.concatenate([getattr(line, name) for line in lines]) for name in ("starts", "ends"))
    inside = (starts >= window[0]) & (ends <= window[1] + 1)  # + 1: rounding of the sums
    if not inside.any():  # one inference each, none of them whole
        inside[:] = True
    starts, ends = starts[inside], ends[inside]
    return [max(1, round(value)) for value in (ends - starts)[np.argsort(ends, kind="stable")]]


def details(lines: Sequence[Timeline], window: Tuple[int, int], batch: int) -> Dict[str, Any]:
    """Each instance's own median and rate, and the extremes of them."""
    seconds = (window[1] - window[0]) / 1e9
    medians = [float(np.median(line.durations)) / 1e6 for line in lines]
    rates = [completed(line, window) * batch / seconds for line in lines]
    found: Dict[str, Any] = {
        "window_ms": seconds * 1e3, "fastest_p50_ms": min(medians), "slowest_p50_ms": max(medians),
    }
    if len(lines) <= MAX_NAMED:
        found["instance"] = {str(number): {"p50_ms": medians[number - 1], "throughput_ips": rates[number - 1]}
                             for number in range(1, len(lines) + 1)}
    return found


def worst(found: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """The worst of several fidelities, measure by measure; `outputs` are those of the one that is farthest off."""
    last = max(found, key=lambda one: (one["problem"] is not None, one["nan"] or 0, one["inf"] or 0, one["rel_l2"] or 0.0))
    out = dict(last)
    for key in (*_HIGHER_IS_WORSE, "nan", "inf"):
        out[key] = _known(max, [one[key] for one in found])
    for key in _LOWER_IS_WORSE:
        out[key] = _known(min, [one[key] for one in found])
    return out


def summed(found: Sequence[Optional[float]]) -> Optional[float]:
    """None where one is not known: a part is no sum."""
    return None if any(value is None for value in found) else sum(value for value in found if value is not None)


def highest(found: Sequence[Optional[float]]) -> Optional[float]:
    """Of those that are known."""
    return max((value for value in found if value is not None), default=None)


def _known(choose: Any, values: Sequence[Any]) -> Any:
    return choose((value for value in values if value is not None), default=None)
