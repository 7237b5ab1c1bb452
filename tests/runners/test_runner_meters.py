"""Meters, control groups, and what is written: read from texts of real machines and from this process."""

from __future__ import annotations

import json
import math
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cgroups: Any = import_module("cgroups")
events: Any = import_module("events")
failures: Any = import_module("failures")
meters: Any = import_module("meters")


def test_a_version_1_container_is_found_at_its_mount_point(tmp_path: Path) -> None:
    memory, cpu = tmp_path / "memory", tmp_path / "cpu,cpuacct"
    memory.mkdir()
    cpu.mkdir()
    mounts = (f"35 31 0:32 /docker/abc {memory} ro,relatime - cgroup cgroup rw,memory\n"
              f"32 31 0:29 /docker/abc {cpu} ro,relatime master:3 - cgroup cgroup rw,cpu,cpuacct\n"
              "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
    found = cgroups.find("4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n", mounts)
    assert (found.version, found.memory, found.cpu) == (1, str(memory), str(cpu))


def test_a_path_of_the_hosts_falls_back_to_the_mount_point(tmp_path: Path) -> None:
    found = cgroups.find("4:memory:/kubepods/pod1/x\n", f"35 31 0:32 / {tmp_path} ro - cgroup cgroup rw,memory\n")
    assert found.memory == str(tmp_path)


def test_version_2_is_one_folder_for_all(tmp_path: Path) -> None:
    (tmp_path / "user.slice").mkdir()
    found = cgroups.find("0::/user.slice\n", f"31 23 0:28 / {tmp_path} rw - cgroup2 cgroup2 rw,nsdelegate\n")
    assert (found.version, found.memory) == (2, str(tmp_path / "user.slice"))


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_survived(first: str, second: str) -> None:
    cgroups.find(first, second)


def group(folder: Path, version: int, **files: str) -> Any:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return cgroups.Cgroup(cgroups.Groups(version, str(folder), str(folder)))


def test_version_2_values(tmp_path: Path) -> None:
    found = group(tmp_path, 2, memory__max="1073741824\n", memory__peak="10485760\n", memory__events="low 0\noom_kill 3\n",
                  cpu__stat="usage_usec 5\nnr_throttled 7\n", cgroup__procs=f"{os.getpid()}\n")
    assert (found.memory_limit_mb(), found.memory_peak_mb(), found.oom_kills(), found.throttled()) == (1024, 10, 3, 7)


def test_version_1_values(tmp_path: Path) -> None:
    found = group(tmp_path, 1, memory__limit_in_bytes="9223372036854771712\n", memory__max_usage_in_bytes="20971520\n",
                  memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", cgroup__procs="")
    assert found.memory_peak_mb() == 20
    assert found.oom_kills() == 1
    with pytest.raises(cgroups.Missing, match="no memory limit"):
        found.memory_limit_mb()
    with pytest.raises(cgroups.Missing, match=r"cpu\.stat cannot be read"):
        found.throttled()


def test_the_peak_of_a_group_with_others_in_it_is_not_ours(tmp_path: Path) -> None:
    found = group(tmp_path, 2, memory__peak="1", cgroup__procs=f"{os.getpid()}\n999998\n999999\n")
    with pytest.raises(cgroups.Missing, match="shared with 2 processes"):
        found.memory_peak_mb()


def test_the_page_cache_is_told_from_the_memory_of_processes(tmp_path: Path) -> None:
    mib = 1 << 20
    stat = f"anon {5 * mib}\nfile {9 * mib}\nshmem {mib}\ninactive_file {2 * mib}\nactive_file {6 * mib}\n"
    found = group(tmp_path, 2, memory__stat=stat, memory__current=f"{16 * mib}\n", cgroup__procs=f"{os.getpid()}\n")
    assert found.memory_parts() == {"anon": 5, "file": 9, "inactive_file": 2, "working": 14}


def test_version_1_sums_over_child_groups_where_it_shows_that(tmp_path: Path) -> None:
    mib = 1 << 20
    stat = f"cache {mib}\nrss {mib}\ninactive_file {mib}\ntotal_cache {9 * mib}\ntotal_rss {5 * mib}\n"
    found = group(tmp_path, 1, memory__stat=stat, memory__usage_in_bytes=f"{16 * mib}\n", cgroup__procs="")
    assert found.memory_parts() == {"anon": 5, "file": 9, "inactive_file": 1, "working": 15}


def test_the_memory_of_a_shared_group_is_not_booked_to_the_trial(tmp_path: Path) -> None:
    found = group(tmp_path, 2, memory__stat="anon 1\nfile 1\ninactive_file 1\n", memory__current="3\n", cgroup__procs="999999\n")
    with pytest.raises(cgroups.Missing, match="shared with 1 processes"):
        found.memory_parts()


@pytest.mark.parametrize(("version", "stat"), [(1, "nr_throttled 2\nthrottled_time 1500000000\n"),
                                               (2, "nr_throttled 2\nthrottled_usec 1500000\n")])
def test_the_time_held_back_is_in_seconds_in_both_versions(tmp_path: Path, version: int, stat: str) -> None:
    assert group(tmp_path, version, cpu__stat=stat).throttled_s() == 1.5


def test_waiting_is_told_from_being_held_up() -> None:
    cgroup = cgroups.Cgroup()
    before = meters.Usage.now(cgroup)
    for _ in range(5):
        time.sleep(0.001)
    found = meters.used(before, meters.Usage.now(cgroup), meters.Reasons())
    assert found["voluntary_switches"] >= 5
    assert found["context_switches"] == found["voluntary_switches"] + found["involuntary_switches"]


def test_the_window_is_on_the_clock_that_the_host_reads() -> None:
    found = meters.window(5, 9, 32)
    assert (found["begin_ns"], found["end_ns"], found["inferences"]) == (5, 9, 32)
    assert abs(found["clock_offset_ns"] - (time.time_ns() - time.monotonic_ns())) < 1e9


def test_no_group_at_all_is_missing_not_zero() -> None:
    with pytest.raises(cgroups.Missing, match="no control group"):
        cgroups.Cgroup(cgroups.Groups(None, None, None)).memory_peak_mb()


def test_stat_lines_of_hostile_names() -> None:
    fields = " ".join(["S", *(str(n) for n in range(4, 52))])
    assert meters.stat_ticks(f"12 (a b) c) (d) {fields}") == 14 + 15


def test_busy_threads_are_told_from_idle_ones() -> None:
    import threading

    stop = threading.Event()

    def spin() -> None:
        # One C call holds on to the CPU without giving up the interpreter's lock, so a busy thread gets its ticks.
        while not stop.is_set():
            sum(range(100_000))

    threads = [threading.Thread(target=spin), threading.Thread(target=stop.wait)]
    for thread in threads:
        thread.start()
    cgroup = cgroups.Cgroup()
    before = meters.Usage.now(cgroup)
    deadline = time.monotonic() + 30
    reasons = meters.Reasons()
    found = meters.used(before, meters.Usage.now(cgroup), reasons)
    while not found["threads_active"] and time.monotonic() < deadline:
        time.sleep(0.05)
        found = meters.used(before, meters.Usage.now(cgroup), reasons)
    stop.set()
    for thread in threads:
        thread.join()
    assert found["threads_seen"] >= 3
    assert 1 <= found["threads_active"] < found["threads_seen"]
    assert found["cpu_time_s"] > 0


def test_a_peak_that_may_not_be_reset_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    meter = meters.PeakMeter()
    monkeypatch.setattr("builtins.open", refuse)
    meter.reset()
    monkeypatch.undo()
    assert "Permission denied" in meter.reset_refused
    assert meter.peak_mb() > 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"), (RuntimeError("std::bad_alloc"), "oom"), (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "oom"),
        (RuntimeError("Failed to allocate memory for requested buffer of size 4"), "oom"),
        (RuntimeError("kernel failed"), "error"), (KeyError("memory"), "error"),
    ],
)
def test_memory_is_told_from_other_errors(error: Exception, kind: str) -> None:
    assert failures.kind_of(error) == kind


def test_an_error_that_cannot_be_shown_is_still_reported() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert "cannot be shown" in failures.message_of(MuteError())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9) | st.just(np.float32("nan")) | st.just(b"x"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
)


@given(JSON)
def test_whatever_an_adapter_says_becomes_finite_json(value: Any) -> None:
    text = json.dumps(events.plain({"detail": value}), allow_nan=False)
    assert "detail" in json.loads(text)


def test_plain_keeps_numbers_and_bounds_texts() -> None:
    assert events.plain({"a": np.float32(1.5), "b": np.int64(3), "c": math.inf}) == {"a": 1.5, "b": 3, "c": None}
    assert len(events.plain("x" * 10_000)) <= events.MAX_TEXT
    assert events.plain({"data": "x" * 10_000}) == {"data": "x" * 10_000}


def test_the_result_is_replaced_as_a_whole(tmp_path: Path) -> None:
    events.write_result(str(tmp_path), {"a": 1})
    events.write_result(str(tmp_path), {"a": 2})
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
