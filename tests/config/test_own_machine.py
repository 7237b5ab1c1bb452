from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from orchestrator.config.machine import detect_machine

CORES = len(os.sched_getaffinity(0))


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_all_cores_of_the_process_and_most_of_the_memory_are_used(tmp_path: Path) -> None:
    machine = detect_machine(cgroup_root=tmp_path)
    assert set(machine.cpus) == os.sched_getaffinity(0)
    total_mb = psutil.virtual_memory().total >> 20
    assert 0.7 * total_mb < machine.memory_mb < total_mb


@pytest.mark.parametrize(
    "files",
    [{"cpu.max": "100000 100000\n"}, {"cpu.max": "50000 100000\n"},
     {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}],
)
def test_a_quota_of_less_than_two_cores_leaves_one(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(detect_machine(cgroup_root=put(tmp_path, files)).cpus) == 1


@pytest.mark.parametrize(
    "files",
    [{"cpu.max": "max 100000\n"}, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, {"cpu.max": "?"}],
)
def test_no_quota_leaves_all_cores(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(detect_machine(cgroup_root=put(tmp_path, files)).cpus) == CORES


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_memory_limit_counts_in_both_versions_of_cgroups(tmp_path: Path, name: str) -> None:
    assert detect_machine(cgroup_root=put(tmp_path, {name: str(1000 << 20)})).memory_mb == 800


def test_a_memory_limit_without_effect_is_ignored(tmp_path: Path) -> None:
    free = detect_machine(cgroup_root=tmp_path)
    assert detect_machine(cgroup_root=put(tmp_path, {"memory/memory.limit_in_bytes": str(2**63 - 4096)})) == free
    assert detect_machine(cgroup_root=put(tmp_path, {"memory.max": "max\n"})) == free
