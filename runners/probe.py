"""The machine-state probe: compute, memory bandwidth and core-to-core round trip, before and after a trial.

A helper process is forked before anything big is imported. It sleeps on a pipe while the trial runs, so it neither takes
part in the trial's memory and threads nor shares its state. Virtual machines change state under a workload with nothing
else to show for it than the round trip between cores, which is why that is measured too.
"""

import contextlib
import json
import mmap
import os
import select
import signal
import struct
import sys
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

COMPUTE_STEPS = 9_000  # about half a millisecond of plain Python
COMPUTE_ROUNDS = 5
COPY_BYTES = 4 << 20  # from and to: 8 MiB per thread, more than a core's own caches
COPY_ROUNDS = 5
TRIPS = 150  # per reading of the clock
TRIP_ROUNDS = 9
MAX_PAIRS = 3
MAX_CPUS = 64  # that compute and memory are probed on
CHILD_LIMIT_S = 1.0  # a child is ended after this by its own timer, whatever it does
HELPER_LIMIT_S = 6.0  # how long the trial waits for an answer
KEYS = ("compute_ms", "compute_best_ms", "memory_gbps", "core_to_core_ns")
_RESULT = struct.Struct("<dd")
_PR_SET_PDEATHSIG = 1

Reading = Dict[str, Any]


class Prober:
    """The trial's end of the pipe to the helper."""

    def __init__(self, threads: int) -> None:
        """Forks the helper; call before numpy or a framework is imported."""
        ask_read, self._ask = os.pipe()
        self._answer, answer_write = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._ask)
                os.close(self._answer)
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trial decides when it is over
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                die_with_parent(parent)
                _serve(ask_read, answer_write, threads)
            finally:
                os._exit(0)
        os.close(ask_read)
        os.close(answer_write)

    def read(self) -> Reading:
        """One probe; values that cannot be had are None with a sentence in `null_reasons`. Never waits long."""
        try:
            os.write(self._ask, b"p")
            return _receive(self._answer, HELPER_LIMIT_S)
        except (OSError, ValueError) as error:
            return nothing("the probe did not answer: {}".format(error))

    def close(self) -> None:
        """End the helper and wait for it."""
        with contextlib.suppress(OSError):
            os.close(self._ask)
            os.close(self._answer)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def nothing(reason: str) -> Reading:
    """A reading without values."""
    empty: Reading = dict.fromkeys(KEYS)
    empty["null_reasons"] = dict.fromkeys(KEYS, reason)
    return empty


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel end this process when its parent ends, even by SIGKILL; where it cannot, a closed pipe must do."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def settle(limit_s: float = 0.3) -> float:
    """Wait until this process is idle: thread pools go on spinning after the last inference. Returns the ms waited.

    Idle is two quiet looks in a row: in one alone a spinning thread may just not have had a CPU.
    """
    began = time.monotonic()
    quiet = 0
    while quiet < 2 and time.monotonic() - began < limit_s:
        before = time.process_time()
        time.sleep(0.004)
        quiet = quiet + 1 if time.process_time() - before < 0.0005 else 0
    return (time.monotonic() - began) * 1e3


def _receive(source: int, limit_s: float) -> Reading:
    deadline = time.monotonic() + limit_s
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise ValueError("not within {:g} s".format(limit_s))
        part = os.read(source, 65536)
        if not part:
            raise ValueError("its process ended")
        text += part
    return dict(json.loads(text.decode().splitlines()[-1]))


def _serve(ask: int, answer: int, threads: int) -> None:
    while os.read(ask, 1):
        os.write(answer, (json.dumps(take(threads)) + "\n").encode())


def take(threads: int, cpus: Optional[Sequence[int]] = None) -> Reading:
    """One reading on the first `threads` CPUs that this process may use."""
    began = time.perf_counter()
    if cpus is None:
        cpus = sorted(os.sched_getaffinity(0))
    cpus = list(cpus)[:min(threads, MAX_CPUS)]
    reading: Reading = nothing("")
    reasons: Dict[str, str] = {}
    results = [found for found in _on_each(cpus) if found is not None]
    if len(results) == len(cpus):
        reading["compute_ms"] = round(max(ms for ms, _ in results), 4)
        reading["compute_best_ms"] = round(min(ms for ms, _ in results), 4)
        reading["memory_gbps"] = round(sum(rate for _, rate in results), 3)
    else:
        lost = "the probe did not end on {} of {} CPUs within {:g} s".format(
            len(cpus) - len(results), len(cpus), CHILD_LIMIT_S)
        reasons.update(dict.fromkeys(KEYS[:3], lost))
    if len(cpus) < 2:
        reasons["core_to_core_ns"] = "the trial has one thread" if threads < 2 else "the trial may use one CPU only"
    else:
        trips = [round_trip_ns(cpus[i], cpus[i + 1]) for i in range(min(MAX_PAIRS, len(cpus) - 1))]
        known = [trip for trip in trips if trip is not None]
        if len(known) == len(trips):
            reading["core_to_core_ns"] = round(max(known), 1)
        else:
            reasons["core_to_core_ns"] = "the round trip did not end within {:g} s".format(CHILD_LIMIT_S)
    reading["null_reasons"] = reasons
    reading["cpus"] = cpus
    reading["took_ms"] = round((time.perf_counter() - began) * 1e3, 3)
    return reading


def compute_ms() -> float:
    """Milliseconds for a fixed number of steps of plain Python; the median of a few rounds."""
    times = []
    for _ in range(COMPUTE_ROUNDS):
        began = time.perf_counter_ns()
        value = 1
        for _ in range(COMPUTE_STEPS):
            value = (value * 1103515245 + 12345) & 0x7FFFFFFF
        times.append(time.perf_counter_ns() - began)
    return sorted(times)[COMPUTE_ROUNDS // 2] / 1e6


def copy_gbps() -> float:
    """Bytes copied per nanosecond between two buffers larger than a core's own caches; the best of a few rounds."""
    with _buffer() as source, _buffer() as target, memoryview(source) as given, memoryview(target) as taken:
        given[:] = taken  # both now have pages of their own, without which all reads would be of one page of zeros
        taken[:] = given
        best = None
        for _ in range(COPY_ROUNDS):
            began = time.perf_counter_ns()
            taken[:] = given
            spent = time.perf_counter_ns() - began
            best = spent if best is None else min(best, spent)
    return COPY_BYTES / max(1, best or 1)


def _buffer() -> mmap.mmap:
    made = mmap.mmap(-1, COPY_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):
        made.madvise(mmap.MADV_HUGEPAGE)  # a tenth of the time to set up, where the kernel has them
    return made


def _on_each(cpus: Sequence[int]) -> List[Optional[Tuple[float, float]]]:
    """(compute ms, copied GB/s) per CPU, all at the same time; None where a child did not make it."""
    children: List[Tuple[int, int]] = []
    for cpu in cpus:
        source, sink = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(source)
                _limit()
                os.sched_setaffinity(0, {cpu})
                os.write(sink, _RESULT.pack(compute_ms(), copy_gbps()))
            finally:
                os._exit(0)
        os.close(sink)
        children.append((pid, source))
    results = []
    for pid, source in children:
        data = os.read(source, _RESULT.size)  # ends at the latest with the child, whose own timer ends it
        os.close(source)
        os.waitpid(pid, 0)
        results.append(_RESULT.unpack(data) if len(data) == _RESULT.size else None)
    return results


def round_trip_ns(first: int, second: int) -> Optional[float]:
    """Nanoseconds until a byte written on one CPU comes back from the other; None if it does not.

    The spinning is plain Python, which adds about 100 ns to what the hardware takes: a constant, as far as states go.
    """
    if not hasattr(os, "fork"):
        return None
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:
        source, sink = os.pipe()
        children = []
        for cpu, play in ((first, _ping), (second, _pong)):
            pid = os.fork()
            if pid == 0:
                try:
                    _limit()
                    os.sched_setaffinity(0, {cpu})
                    play(shared, sink)
                finally:
                    os._exit(0)
            children.append(pid)
        os.close(sink)
        data = os.read(source, 8)
        os.close(source)
        for pid in children:
            os.waitpid(pid, 0)
    return struct.unpack("<d", data)[0] if len(data) == 8 else None


def _ping(shared: mmap.mmap, sink: int) -> None:
    times = []
    for _ in range(TRIP_ROUNDS + 1):  # the first one also waits for the other side to start
        began = time.perf_counter_ns()
        for _ in range(TRIPS):
            shared[0] = 1
            while shared[0] != 0:
                pass
        times.append((time.perf_counter_ns() - began) / TRIPS)
    os.write(sink, struct.pack("<d", sorted(times[1:])[TRIP_ROUNDS // 2]))


def _pong(shared: mmap.mmap, _: int) -> None:
    for _ in range(TRIPS * (TRIP_ROUNDS + 1)):
        while shared[0] != 1:
            pass
        shared[0] = 0


def _limit() -> None:
    """This process ends by SIGALRM at its limit, also from within an endless loop."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, CHILD_LIMIT_S)


def main() -> None:
    """`probe.py [THREADS]`: readings by hand, one a line."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    for _ in range(5):
        print(json.dumps(take(threads)))


if __name__ == "__main__":
    main()
