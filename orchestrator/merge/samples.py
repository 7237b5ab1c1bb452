"""Raw samples as records carry them → numbers of one trial."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import ResultError

ENCODING = "zlib+base64:<u8"
MAX_SAMPLES = 200_000
_MAX_NS = 10**14  # a bit over a day: nothing that a trial may last

# Samples a trial needs before a percentile means something. From p90 on: MLPerf LoadGen's early-stopping counts
# (99 % confidence, one sample above the percentile allowed): 64, 130, 662, 6,636. For p50 the fewest that have a middle;
# what few samples leave uncertain shows in the interval over trials.
PERCENTILES: Mapping[str, tuple[float, int]] = {
    "p50": (0.5, 3), "p90": (0.9, 64), "p95": (0.95, 130), "p99": (0.99, 662), "p99_9": (0.999, 6636),
}
_ROUNDING_MS = 1e-5  # samples are whole nanoseconds
_MIN_FOR_CORRELATION = 10
_MIN_FOR_DRIFT = 10


@dataclass(frozen=True, kw_only=True)
class TrialNumbers:
    """One trial of one cell, summed up. Times in milliseconds per call; a percentile without enough samples is None."""

    count: int
    minimum: float
    mean: float
    percentiles: Mapping[str, float | None]
    throughput_ips: float | None  # rows per second: count × batch ÷ the sum of the samples; None of a single event
    headline_ms: float | None  # what comparisons compare, less being better: the median, unless the scenario has its own
    drift: float | None  # median of the second half ÷ median of the first half − 1
    autocorrelation: float | None  # lag 1


def encode_samples(nanoseconds: npt.ArrayLike) -> dict[str, Any]:
    """The wire form of an array of nanoseconds; the inverse of `decode_samples`."""
    array = np.asarray(nanoseconds).astype("<u8")
    return {"encoding": ENCODING, "count": int(array.size),
            "data": base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")}


def decode_samples(samples: Mapping[str, Any]) -> npt.NDArray[np.uint64]:
    """Nanoseconds, in the order measured; shape (count,).

    Raises ResultError for an unknown encoding, a count that does not hold, more than MAX_SAMPLES, a stream that would
    unpack to more than it announces, and times that cannot be (0 or beyond a day).
    """
    if samples.get("encoding") != ENCODING:
        raise ResultError(f"samples in an unknown encoding: {str(samples.get('encoding'))[:40]!r}")
    count, text = samples.get("count"), samples.get("data")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MAX_SAMPLES:
        raise ResultError(f"a count of samples out of range (1 to {MAX_SAMPLES:,}): {str(count)[:40]}")
    size = 8 * count
    if not isinstance(text, str) or len(text) > 2 * size + 1024:
        raise ResultError("samples that are not text, or far more text than their count needs")
    try:
        packed = base64.b64decode(text, validate=True)
        stream = zlib.decompressobj()
        raw = stream.decompress(packed, size + 1)  # never unpacks more than one byte over what was announced
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ResultError(f"samples that cannot be unpacked: {error}") from None
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ResultError(f"samples that do not unpack to the {count:,} announced")
    array = np.frombuffer(raw, dtype="<u8")
    if int(array.min()) == 0 or int(array.max()) > _MAX_NS:
        raise ResultError("samples of 0 ns or beyond a day")
    return array


def trial_numbers(
    nanoseconds: npt.NDArray[np.uint64], batch: int, *, throughput_ips: float | None = None, headline_ms: float | None = None
) -> TrialNumbers:
    """What one trial says; `nanoseconds` (count,) are the calls in order, each of `batch` rows.

    Where calls overlap (several instances, a server) their sum says nothing of throughput: the runner gives it, and what
    comparisons are to compare. A trial whose one sample is its headline (a start happens once in a process) is a sample
    of a distribution that only trials together show: its median is that sample, and it has no rate.
    """
    values = nanoseconds.astype(np.float64)
    ordered = np.sort(values)
    total = float(values.sum())
    count = int(values.size)
    percentiles = {name: _percentile(ordered, fraction, needed) for name, (fraction, needed) in PERCENTILES.items()}
    once = count == 1 and headline_ms is not None and math.isclose(headline_ms, total * 1e-6, abs_tol=_ROUNDING_MS)
    if once:
        percentiles["p50"] = headline_ms
    elif throughput_ips is None:
        throughput_ips = count * batch / (total * 1e-9)
    return TrialNumbers(
        count=count,
        minimum=float(ordered[0]) * 1e-6,
        mean=total / count * 1e-6,
        percentiles=percentiles,
        throughput_ips=throughput_ips,
        headline_ms=percentiles["p50"] if headline_ms is None else headline_ms,
        drift=_drift(values),
        autocorrelation=_autocorrelation(values, total / count),
    )


def _percentile(ordered: npt.NDArray[np.float64], fraction: float, needed: int) -> float | None:
    """In ms. Beyond the median: an actual sample (nearest rank), never a value between two."""
    count = ordered.size
    if count < needed:
        return None
    if fraction == 0.5:
        return _median_of_sorted(ordered) * 1e-6
    return float(ordered[math.ceil(fraction * count) - 1]) * 1e-6


def _median_of_sorted(ordered: npt.NDArray[np.float64]) -> float:
    middle = ordered.size // 2
    if ordered.size % 2:
        return float(ordered[middle])
    return float(ordered[middle - 1] + ordered[middle]) / 2


def _drift(values: npt.NDArray[np.float64]) -> float | None:
    if values.size < _MIN_FOR_DRIFT:
        return None
    half = values.size // 2
    first, second = _median_of_sorted(np.sort(values[:half])), _median_of_sorted(np.sort(values[-half:]))
    return second / first - 1


def _autocorrelation(values: npt.NDArray[np.float64], mean: float) -> float | None:
    if values.size < _MIN_FOR_CORRELATION:
        return None
    centred = values - mean
    power = float(centred @ centred)
    if power <= 0:
        return None
    return float(centred[:-1] @ centred[1:]) / power
