"""A counter that only grows, read now and then: by how much it grew within a window, and how well that is known (pure)."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass

EDGE_SHARE = 0.1  # of a window, that the two updates at its edges may last; beyond that the window is too short


class AbsentError(Exception):
    """A value that cannot be had; the message is the reason that the record gives."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of the monotonic clock, in ns."""

    begin_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True, kw_only=True)
class Grown:
    """By how much a counter grew; `resolution` is the share of the window that its two edge updates last."""

    amount: float
    resolution: float


class Series:
    """The counter's updates: when a reading first showed a new value, and the sum so far.

    A counter is refreshed in steps (NVML some 20 to 100 ms, RAPL about 1 ms). Between two updates it is taken to grow
    evenly, so what is wrong at an edge is at most what the device's power changed within one update.
    """

    def __init__(self, *, modulus: float | None = None) -> None:
        self._modulus = modulus  # the value at which the counter begins again at zero
        self._times = array("q")
        self._sums = array("d")
        self._last: float | None = None

    def add(self, at_ns: int, raw: float) -> None:
        """Take in one reading; a counter that went back without a known modulus was reset, and begins anew."""
        if self._last is None:
            self._keep(at_ns, 0.0)
        elif raw != self._last:
            step = raw - self._last
            if step < 0 and self._modulus is None:
                self._times, self._sums = array("q"), array("d")
                self._keep(at_ns, 0.0)
            else:
                self._keep(at_ns, self._sums[-1] + (step if step > 0 else step + (self._modulus or 0.0)))
        self._last = raw

    def forget(self, before_ns: int) -> None:
        """Drop what no later window needs: all but one update before that time."""
        keep = max(0, bisect_right(self._times, before_ns) - 1)
        self._times, self._sums = self._times[keep:], self._sums[keep:]

    def covers(self, at_ns: int) -> bool:
        """Whether an update came after that time."""
        return bool(self._times) and self._times[-1] > at_ns

    def within(self, window: Window) -> Grown:
        """The growth within a window.

        Raises:
            AbsentError: there are no readings on both sides, or the window is too short for the counter's steps.
        """
        begin, before = self._at(window.begin_ns)
        end, after = self._at(window.end_ns)
        if window.seconds <= 0:
            raise AbsentError("the window has no length")
        edges = (before + after) / 1e9
        if edges > EDGE_SHARE * window.seconds:
            raise AbsentError(
                f"the timed loop of {window.seconds:.2g} s is too short: the counter showed a new value every "
                f"{500 * edges:.0f} ms, so it takes {edges / EDGE_SHARE:.2g} s (raise min_duration_s, or take a longer profile)"
            )
        return Grown(amount=end - begin, resolution=edges / window.seconds)

    def _keep(self, at_ns: int, total: float) -> None:
        self._times.append(at_ns)
        self._sums.append(total)

    def _at(self, at_ns: int) -> tuple[float, int]:
        """The sum at that time, and how long the update around it lasted in ns."""
        after = bisect_right(self._times, at_ns)
        if after == 0:
            raise AbsentError("the counter was not read before the timed loop began")
        if after == len(self._times):
            raise AbsentError("the counter showed no new value after the timed loop had ended")
        first, last = self._times[after - 1], self._times[after]
        share = (at_ns - first) / (last - first)
        return self._sums[after - 1] + share * (self._sums[after] - self._sums[after - 1]), last - first
