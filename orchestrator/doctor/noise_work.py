"""One fresh process of the A/A check: the same fixed work every time, timed; prints one line of JSON.

Run as a file, not imported: nothing of the orchestrator shall be loaded in the process that is timed.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time

_ROUNDS, _TRIPS = 10, 200
_PATIENCE = 2_000_000  # looks at the flag before giving up, about 0.1 s


def core_to_core_ns(first: int, second: int) -> float | None:
    """Median round trip of a byte between two CPUs, with the interpreter's own share in it; None: no answer."""
    flag = mmap.mmap(-1, mmap.PAGESIZE)
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setaffinity(0, {second})
            for _ in range(_ROUNDS * _TRIPS):
                for _ in range(_PATIENCE):
                    if flag[0] == 1:
                        break
                else:
                    break  # the other side is gone
                flag[0] = 0
        finally:
            os._exit(0)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    trips = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(_TRIPS):
            flag[0] = 1
            for _ in range(_PATIENCE):
                if flag[0] == 0:
                    break
            else:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return None
        trips.append((time.perf_counter_ns() - begin) / _TRIPS)
    os.waitpid(pid, 0)
    os.sched_setaffinity(0, before)
    return sorted(trips)[len(trips) // 2]


def main(cpus: list[int], seconds: float) -> None:
    """Time matrix products on `cpus` for `seconds`."""
    os.sched_setaffinity(0, cpus)
    trip = core_to_core_ns(cpus[0], cpus[1]) if len(cpus) > 1 else None
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(len(cpus))
    import numpy as np  # only now: the ping-pong forks, and numpy starts threads

    matrix = np.random.default_rng(1).standard_normal((384, 384), dtype=np.float32)
    for _ in range(20):
        matrix @ matrix
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter_ns()
        matrix @ matrix
        times.append(time.perf_counter_ns() - begin)
    print(json.dumps({"median_ns": sorted(times)[len(times) // 2], "core_to_core_ns": trip}))


if __name__ == "__main__":
    main([int(cpu) for cpu in sys.argv[1].split(",")], float(sys.argv[2]))
