from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.machine import (
    Moment,
    check_clocks,
    check_cpus,
    check_kernel_switches,
    check_load,
    check_memory,
    judge_steal,
    read_moment,
)
from orchestrator.hostfacts import HostFacts, read_host
from tests.doctor.machines import SERVER, SMALL_VM, Machine, put, write_machine


def facts_of(tmp_path: Path, machine: Machine) -> HostFacts:
    return read_host(write_machine(tmp_path, machine))


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_server_is_described_with_its_siblings_and_nodes(tmp_path: Path) -> None:
    checks = by_name(check_cpus(facts_of(tmp_path, SERVER)))
    assert "32 cores in 2 socket(s), 2 thread(s) per core, 64 CPUs usable" in checks["cpus"].found
    assert "16-31" in checks["smt"].found
    assert checks["numa"].found == "node 0: 0-15,32-47; node 1: 16-31,48-63"
    assert checks["caches"].found == "L1 32 × 48 KiB, L2 32 × 2048 KiB, L3 2 × 107520 KiB"


def test_a_small_vm_has_no_line_for_what_it_lacks(tmp_path: Path) -> None:
    assert set(by_name(check_cpus(facts_of(tmp_path, SMALL_VM)))) == {"cpus", "caches"}


def test_a_quota_below_the_cpus_is_warned_of(tmp_path: Path) -> None:
    write_machine(tmp_path, SMALL_VM)
    put(tmp_path / "sys/fs/cgroup/cpu.max", "150000 100000")
    checks = [check for check in check_cpus(read_host(tmp_path)) if check.verdict is Verdict.WARN]
    assert [check.found for check in checks] == ["a quota of 1.5 CPUs on 2"]
    put(tmp_path / "sys/fs/cgroup/cpu.max", "200000 100000")
    assert all(check.verdict is not Verdict.WARN for check in check_cpus(read_host(tmp_path)))


@pytest.mark.parametrize(
    ("governor", "turbo", "verdicts"),
    [
        ("performance", False, (Verdict.GOOD, Verdict.GOOD)),
        ("powersave", True, (Verdict.WARN, Verdict.NOTE)),
        (None, None, (Verdict.NOTE, Verdict.NOTE)),
    ],
)
def test_clocks_are_judged(
    tmp_path: Path, governor: str | None, turbo: bool | None, verdicts: tuple[Verdict, Verdict]
) -> None:
    facts = facts_of(tmp_path, dataclasses.replace(SERVER, governor=governor, turbo=turbo))
    checks = check_clocks(facts)
    assert tuple(check.verdict for check in checks) == verdicts
    assert all(check.do for check in checks if check.verdict is Verdict.WARN)


@pytest.mark.parametrize(
    ("load", "pressure", "verdict"),
    [("0.10", "0.00", Verdict.GOOD), ("1.20", "0.00", Verdict.WARN), ("0.10", "12.00", Verdict.WARN)],
)
def test_load_and_pressure_are_judged(tmp_path: Path, load: str, pressure: str, verdict: Verdict) -> None:
    facts = facts_of(tmp_path, SMALL_VM)
    put(tmp_path / "proc/loadavg", f"{load} 0.2 0.1 1/100 42")
    put(tmp_path / "proc/pressure/cpu", f"some avg10={pressure} avg60=0.00 avg300=0.00 total=1")
    (check,) = check_load(facts, tmp_path)
    assert check.verdict is verdict


def test_what_the_kernel_hides_is_a_note_not_an_error(tmp_path: Path) -> None:
    facts = read_host(tmp_path)
    checks = (*check_load(facts, tmp_path), *check_memory(facts, tmp_path, needed_mb=4096), *judge_steal(None, None))
    assert [check.verdict for check in checks] == [Verdict.NOTE] * 3
    assert "not shown" in check_kernel_switches(facts, tmp_path)[0].found


def test_steal_is_the_eighth_column_of_the_sum_line(tmp_path: Path) -> None:
    put(tmp_path / "proc/stat", "cpu  10 0 20 60 0 0 0 10 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1")
    assert read_moment(tmp_path) == Moment(total=100, steal=10)


@pytest.mark.parametrize(
    ("steal", "verdict"), [(0, Verdict.GOOD), (1, Verdict.GOOD), (30, Verdict.WARN)], ids=["none", "little", "much"]
)
def test_steal_is_judged_over_the_interval(steal: int, verdict: Verdict) -> None:
    (check,) = judge_steal(Moment(total=100_000, steal=10), Moment(total=100_200, steal=10 + steal))
    assert check.verdict is verdict


@pytest.mark.parametrize(
    ("available_kb", "verdict"),
    [(8 << 20, Verdict.GOOD), (2 << 20, Verdict.WARN), (1 << 19, Verdict.BAD)],
)
def test_memory_is_judged_by_what_is_available(tmp_path: Path, available_kb: int, verdict: Verdict) -> None:
    facts = facts_of(tmp_path, SMALL_VM)
    put(tmp_path / "proc/meminfo", f"MemTotal: 24684092 kB\nMemAvailable: {available_kb} kB")
    (check,) = check_memory(facts, tmp_path, needed_mb=4096)
    assert check.verdict is verdict
    assert bool(check.do) == (verdict is not Verdict.GOOD)
