"""The machine-state probe: it answers, it never hangs, and it leaves nothing behind."""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

probe: Any = import_module("probe")

CPUS = sorted(os.sched_getaffinity(0))
# This process has threads (numpy's); what is forked here runs nothing but the probe's own plain Python.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes a probe slow, which is not what these tests are about."""
    monkeypatch.setattr(probe, "CHILD_LIMIT_S", 30.0)
    monkeypatch.setattr(probe, "HELPER_LIMIT_S", 60.0)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_one_thread_has_no_round_trip_and_says_why() -> None:
    reading = probe.take(1)
    assert reading["compute_ms"] >= reading["compute_best_ms"] > 0
    assert reading["memory_gbps"] > 0
    assert reading["core_to_core_ns"] is None
    assert reading["null_reasons"] == {"core_to_core_ns": "the trial has one thread"}


def test_more_threads_than_cpus_probe_the_cpus_there_are() -> None:
    reading = probe.take(2, CPUS[:1])
    assert reading["cpus"] == CPUS[:1]
    assert "one CPU only" in reading["null_reasons"]["core_to_core_ns"]


@two_cpus
def test_two_threads_have_a_round_trip() -> None:
    readings = [probe.take(2) for _ in range(5)]  # a disturbed one may be null, not all
    trips = [reading["core_to_core_ns"] for reading in readings if reading["core_to_core_ns"] is not None]
    assert trips
    assert all(10 < trip < 1e6 for trip in trips)


@two_cpus
def test_a_partner_that_never_answers_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "CHILD_LIMIT_S", 0.05)
    monkeypatch.setattr(probe, "_pong", lambda *_: time.sleep(30))
    began = time.monotonic()
    assert probe.round_trip_ns(*CPUS[:2]) is None
    assert time.monotonic() - began < 5
    assert children() == set()


def test_a_probe_that_hangs_gives_null_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "CHILD_LIMIT_S", 0.05)
    monkeypatch.setattr(probe, "copy_gbps", lambda: time.sleep(30))
    reading = probe.take(1)
    assert reading["compute_ms"] is None
    assert reading["memory_gbps"] is None
    assert "0 of 1" not in reading["null_reasons"]["memory_gbps"]
    assert "did not end on 1 of 1" in reading["null_reasons"]["memory_gbps"]


def test_the_helper_answers_twice_and_is_gone_after() -> None:
    prober = probe.Prober(1)
    try:
        first, second = prober.read(), prober.read()
    finally:
        prober.close()
    assert first["compute_ms"] > 0
    assert second["compute_ms"] > 0
    assert children() == set()


def test_a_helper_that_died_is_told_not_waited_for() -> None:
    prober = probe.Prober(1)
    os.kill(prober._pid, 9)
    try:
        reading = prober.read()
    finally:
        prober.close()
    assert reading["compute_ms"] is None
    assert "did not answer" in reading["null_reasons"]["compute_ms"]


def test_a_helper_that_is_stuck_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_serve", lambda *_: time.sleep(30))
    monkeypatch.setattr(probe, "HELPER_LIMIT_S", 0.1)
    prober = probe.Prober(1)
    try:
        reading = prober.read()
    finally:
        prober.close()
    assert "not within 0.1 s" in reading["null_reasons"]["compute_ms"]
    assert children() == set()


def test_settling_ends_though_the_process_stays_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time", time.monotonic)  # as if a thread never stopped spinning
    assert 100 <= probe.settle(0.1) < 10_000


def test_settling_an_idle_process_takes_two_looks() -> None:
    assert 8 <= probe.settle(10) < 10_000
