"""Threads that compute are told from those that sleep, by the kernel's own account."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

busy: Any = import_module("adapters.busy_threads")

BLOCK = bytes(4 << 20)  # hashed without Python's lock


def work(_: int = 0) -> str:
    return hashlib.sha256(BLOCK).hexdigest()


def test_one_that_computes_and_one_that_sleeps_are_one() -> None:
    wake = threading.Event()
    sleeper = threading.Thread(target=wake.wait)
    sleeper.start()
    try:
        assert busy.thread_count() >= 2
        assert len(busy.busy_threads(work)) == 1
    finally:
        wake.set()
        sleeper.join()


def test_workers_that_live_on_are_counted_and_the_one_that_waits_for_them_is_not() -> None:
    with ThreadPoolExecutor(max_workers=3) as pool:
        assert list(pool.map(work, range(3)))
        shares = busy.busy_threads(lambda: list(pool.map(work, range(12))), least_s=0.5)
    assert 2 <= len(shares) <= 3  # a pool may leave one of three without work
    assert shares == sorted(shares, reverse=True)


def test_it_runs_once_even_where_that_is_too_long() -> None:
    calls: list[str] = []
    busy.busy_threads(lambda: calls.append(work()), least_s=0.0)
    assert len(calls) == 1
