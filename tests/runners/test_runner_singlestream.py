"""LoadGen's SingleStream around a call of known length: the other side of benchmarks/native_loadgen.py."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mlperf_loadgen", reason="there is no wheel of mlcommons-loadgen for this Python")

from benchmarks.native_loadgen import agreement


def test_both_sides_see_the_same_call() -> None:
    import measure  # type: ignore[import-not-found]

    seen: set[float] = set()

    def predict(feeds: Any) -> list[Any]:
        seen.add(float(feeds["x"][0, 0]))
        time.sleep(0.003)
        return [feeds["x"]]

    samples = {"x": np.arange(8, dtype=np.float32).reshape(4, 2)}
    batches = measure.build_batches(samples, ["x"], 1, batchable=True)
    found = agreement(predict, batches, rounds=3, seconds=0.2)
    assert found.ours_p50_ms >= 3
    assert 0.5 < found.p50 < 2
    assert found.requests == 100
    assert seen == {0.0, 2.0, 4.0, 6.0}


def test_what_the_system_raises_is_raised_after_the_run_and_not_in_it() -> None:
    from benchmarks.native_loadgen import _loadgen

    def predict(_feeds: Any) -> list[Any]:
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        _loadgen(predict, [{"x": np.zeros(1)}], 10, 1_000)
