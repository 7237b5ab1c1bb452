"""Device-resident latency: the second figure of a device with memory of its own, without the copies there and back."""

import time
from itertools import cycle
from typing import Any, Dict

from adapters.base import Adapter
from cgroups import Missing
from measure import Batches, Limits, pack

DISTINCT = 4  # batches that are kept on the device: memory there is scarce, and one batch alone might stay in a cache
LONGEST_NS = 5_000_000_000  # it is the second figure: it must not double a long measurement


def device_resident(adapter: Adapter, batches: Batches, limits: Limits, guess_ns: int) -> Dict[str, Any]:
    """Samples in ns, one per inference, from inputs that are on the device to outputs that are (and synchronised).

    `guess_ns`: about how long an inference takes, host to host: as many are run untimed as fill a tenth of the time.

    Raises:
        Missing: the device has no memory of its own, or this figure could not be had; the first figure stands.
    """
    try:
        return _measure(adapter, batches, limits, guess_ns)
    except Missing:
        raise
    except Exception as error:
        raise Missing("it failed: {}: {}".format(type(error).__name__, error)) from None


def _measure(adapter: Adapter, batches: Batches, limits: Limits, guess_ns: int) -> Dict[str, Any]:
    held = [adapter.to_device(feeds) for feeds in batches.feeds[:DISTINCT]]
    if any(part is None for part in held):
        raise Missing("the device has no memory of its own: host to host is all there is")
    adapter.synchronize()
    budget = min(limits.min_ns, LONGEST_NS)
    turns = cycle(held)
    for _ in range(max(1, min(limits.max_iterations, budget // 10 // max(1, guess_ns)))):
        adapter.predict_on_device(next(turns))
    adapter.synchronize()
    clock = time.perf_counter_ns
    samples = []
    begin = clock()
    while True:
        resident = next(turns)
        before = clock()
        outputs = adapter.predict_on_device(resident)
        adapter.synchronize()
        after = clock()
        samples.append(after - before)
        del outputs  # outside the clocks
        spent = after - begin
        if len(samples) >= limits.max_iterations or spent >= limits.max_ns or (
                spent >= budget and len(samples) >= limits.min_iterations):
            break
    return {"samples": pack(samples), "distinct_batches": len(held)}
