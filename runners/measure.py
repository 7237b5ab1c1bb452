"""The timed loop: host arrays in, host arrays out, as little as possible between two readings of the clock."""

import base64
import time
import zlib
from array import array
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from watch import LOOK_EVERY_NS, Watch

Feeds = Dict[str, np.ndarray]
Predict = Callable[[Feeds], List[np.ndarray]]

ALIGNMENT = 64  # every batch begins on a cache line, for all backends alike
COPIES_MB = 32  # of distinct batches, each a copy of its own; beyond that they are windows of one array
CAPTURE_MB = 32  # of outputs kept for the comparison with the reference, beyond the first two
CHUNK_S = 0.01  # the stop condition is looked at about this often
MAX_CHUNK = 512


class TooSlow(Exception):
    """The cell cannot finish within its time; the message says how long one iteration takes."""


class BadOutput(Exception):
    """What the adapter returned is not a list of numpy arrays."""


@dataclass(frozen=True)
class Batches:
    """The distinct batches that the loop rotates through: batch i holds the samples i, i+1, … (mod S)."""

    feeds: List[Feeds]
    rows: List[np.ndarray]  # per batch, which samples it holds (for the reference); an integer array
    batched: bool  # False: a batch is one sample of a model without a free batch dimension

    @property
    def resident_mb(self) -> float:
        """Memory that the prebuilt batches hold; windows of one array are counted once."""
        bases = {id(_owner(part)): _owner(part).nbytes for feeds in self.feeds for part in feeds.values()}
        return sum(bases.values()) / 2 ** 20


def build_batches(samples: Feeds, order: Sequence[str], batch: int, *, batchable: bool) -> Batches:
    """Batches of `batch` rows in `order`; as many as there are samples, fewer where memory would suffer."""
    count = min(len(samples[name]) for name in order) if order else 1
    if not batchable:
        feeds = [{name: _aligned(np.asarray(samples[name][i])) for name in order} for i in range(count)]
        return Batches(feeds, [np.array([i]) for i in range(count)], batched=False)
    rows = [(np.arange(batch) + i) % count for i in range(count)]
    one = sum(samples[name][0].nbytes for name in order) * batch
    copies = min(count, max(2, int(COPIES_MB * 2 ** 20 // max(1, one))))
    if copies == count or one * copies <= COPIES_MB * 2 ** 20:
        feeds = [{name: _aligned(samples[name][rows[i]]) for name in order} for i in range(copies)]
        return Batches(feeds, rows[:copies], batched=True)
    # Batch i is a window of the samples laid end to end; windows that begin off a cache line are left out.
    window = {name: _aligned(samples[name][np.arange(count + batch - 1) % count]) for name in order}
    starts = [i for i in range(count) if all((window[n][i:i + 1].ctypes.data % ALIGNMENT) == 0 for n in order)]
    if len(starts) < 2 < count:  # rows of an odd size
        starts = [0, 1]
    feeds = [{name: window[name][i:i + batch] for name in order} for i in starts]
    return Batches(feeds, [rows[i] for i in starts], batched=True)


def _aligned(source: np.ndarray) -> np.ndarray:
    """A C-contiguous copy that begins on a cache line."""
    raw = np.empty(source.nbytes + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    copy = raw[offset:offset + source.nbytes].view(source.dtype).reshape(source.shape)
    copy[...] = source
    return copy


def _owner(part: np.ndarray) -> np.ndarray:
    while isinstance(part.base, np.ndarray):
        part = part.base
    return part


@dataclass
class Capture:
    """The last output of each distinct batch, as it came out of the measured loop."""

    slots: List[Any]  # per kept batch its outputs, plus one place for those that are not kept
    reused: bool = False  # the outputs shared memory, so they were taken again and copied

    def kept(self) -> List[Tuple[int, List[np.ndarray]]]:
        """(number of the batch, its outputs) for each batch that was run."""
        return [(number, out) for number, out in enumerate(self.slots[:-1]) if out is not None]


def check_outputs(outputs: Any) -> List[np.ndarray]:
    """`outputs` if an adapter may return it.

    Raises:
        BadOutput: it is not a list of numpy arrays.
    """
    if not isinstance(outputs, (list, tuple)):
        raise BadOutput("predict() returned {}, not a list of numpy arrays".format(type(outputs).__name__))
    for number, output in enumerate(outputs):
        if not isinstance(output, np.ndarray):
            raise BadOutput("output {} is {}, not a numpy array".format(number, type(output).__name__))
    return list(outputs)


def capture_for(batches: Batches, first: Sequence[np.ndarray]) -> Capture:
    """Room for the outputs of as many batches as memory allows (at least two), given one output's size."""
    size = max(1, sum(output.nbytes for output in first))
    keep = min(len(batches.feeds), max(2, int(CAPTURE_MB * 2 ** 20 // size)))
    return Capture([None] * (keep + 1))


@dataclass(frozen=True)
class Limits:
    """When the loop ends: enough time and enough iterations, or too much of either."""

    min_ns: int
    min_iterations: int
    max_iterations: int
    max_ns: int

    def over(self, done: int, spent_ns: int) -> bool:
        """Asked between chunks, outside the timed region."""
        return done >= self.max_iterations or spent_ns >= self.max_ns or (
            spent_ns >= self.min_ns and done >= self.min_iterations)


@dataclass
class Loop:
    """What one timed loop gave."""

    samples: List[int] = field(default_factory=list)  # ns, one per inference
    wall_ns: int = 0
    begin_ns: int = 0  # on the machine's monotonic clock, which all processes share
    paused_ns: int = 0  # of wall_ns, to look at the clocks


def warm_up(predict: Predict, batches: Batches, seconds: float, min_iterations: int, max_s: float) -> Loop:
    """Run until `seconds` have passed and at least twice.

    Raises:
        TooSlow: `min_iterations` at the best time seen would take more than `max_s`.
    """
    clock = time.perf_counter_ns
    loop = Loop()
    begin = clock()
    best = None
    for feeds in cycle(batches.feeds):
        before = clock()
        predict(feeds)
        after = clock()
        loop.samples.append(after - before)
        best = after - before if best is None else min(best, after - before)
        if best * min_iterations > max_s * 1e9:
            raise TooSlow("one inference takes {:.3g} s: {} would take {:.3g} s, and a cell may take {:g} s".format(
                best / 1e9, min_iterations, best * min_iterations / 1e9, max_s))
        if after - begin >= seconds * 1e9 and len(loop.samples) >= 2:
            break
    loop.wall_ns = clock() - begin
    return loop


def timed_loop(
    predict: Predict, batches: Batches, capture: Capture, limits: Limits, guess_ns: int, watch: Optional[Watch] = None
) -> Loop:
    """Measure; keeps the last output of each batch in `capture`. `guess_ns`: about how long one inference takes.

    `watch`: looks at the clocks before, after and now and then in between.

    Only names that are local are used between the clocks, and outputs are stored (and old ones freed) outside them.
    """
    clock = time.perf_counter_ns
    slots = capture.slots
    unkept = len(slots) - 1
    turns = cycle([(min(number, unkept), feeds) for number, feeds in enumerate(batches.feeds)])
    loop = Loop()
    push = loop.samples.append
    done = 0
    if watch is not None:
        watch.begin()
        watch.look()
    begin = now = clock()
    due = begin + LOOK_EVERY_NS
    while True:
        chunk = min(MAX_CHUNK, max(1, int(CHUNK_S * 1e9 / max(1, guess_ns))), limits.max_iterations - done)
        started = now
        for slot, feeds in islice(turns, chunk):
            before = clock()
            outputs = predict(feeds)
            after = clock()
            push(after - before)
            slots[slot] = outputs
        done += chunk
        now = clock()
        if limits.over(done, now - begin):
            break
        guess_ns = (now - started) // chunk
        if watch is not None and now >= due:
            loop.paused_ns += watch.look()
            now = clock()
            due = now + LOOK_EVERY_NS
    loop.begin_ns, loop.wall_ns = begin, now - begin
    if watch is not None:
        watch.look()
    return loop


def synchronized(synchronize: Callable[[], None]) -> int:
    """How long the device was still busy after the last inference had returned, in ns."""
    before = time.perf_counter_ns()
    synchronize()
    return time.perf_counter_ns() - before


def refuse_unfinished(left_over_ns: int, samples: Sequence[int]) -> None:
    """An inference that returns before its work is done was not timed, only started.

    Raises:
        BadOutput: after the loop the device worked on for more than half of the quickest inference (and over 1 ms, which
            is beyond what waiting for nothing takes).
    """
    if left_over_ns > max(1_000_000, min(samples, default=0) // 2):
        raise BadOutput("predict() returned before its work was done: the device was busy for another {:.3g} ms".format(
            left_over_ns / 1e6))


def secure_outputs(predict: Predict, batches: Batches, capture: Capture) -> None:
    """Where the kept outputs share memory (a buffer that the backend reuses), run again and copy each at once."""
    kept = capture.kept()
    capture.reused = _shared([outputs for _, outputs in kept])
    if capture.reused:
        for number, _ in kept:
            capture.slots[number] = [np.array(output) for output in check_outputs(predict(batches.feeds[number]))]


def _shared(outputs: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether two inferences' outputs overlap in memory; bounds suffice, since a backend's buffer is one block."""
    for number, some in enumerate(outputs):
        for others in outputs[number + 1:]:
            if some is others or any(np.may_share_memory(a, b) for a in some for b in others):
                return True
    return False


def pack(samples: Sequence[int]) -> Dict[str, Any]:
    """Raw samples in ns as the result holds them."""
    numbers = array("Q", samples)
    data = np.frombuffer(numbers, dtype=np.uint64).astype("<u8").tobytes() if samples else b""
    return {"encoding": "zlib+base64:<u8", "count": len(samples),
            "data": base64.b64encode(zlib.compress(data, 1)).decode("ascii")}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """The inverse of `pack`, of samples that this runner wrote."""
    return np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), dtype="<u8")
