from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.doctor.check import Verdict
from orchestrator.doctor.engine import EngineAnswer
from orchestrator.doctor.gpus import check_gpu_containers, check_gpus
from orchestrator.doctor.imagery import check_base, check_builder, judge_base
from orchestrator.doctor.limits import check_limits
from orchestrator.doctor.supplies import Interpreter, check_disk, check_pythons, find_pythons, locked_pythons
from orchestrator.gpus import Gpu
from orchestrator.hostfacts import HostFacts, read_host
from tests.doctor.machines import SMALL_VM, put, write_machine

NO_ENGINE = EngineAnswer(available=False, reason="no container engine")


def engine(**fields: object) -> EngineAnswer:
    return EngineAnswer(available=True, reason="Docker answers", **fields)  # type: ignore[arg-type]


@pytest.fixture
def facts(tmp_path: Path) -> HostFacts:
    return read_host(write_machine(tmp_path / "host", SMALL_VM))


def with_gpu(facts: HostFacts) -> HostFacts:
    from dataclasses import replace

    return replace(facts, gpus=(Gpu(index=0, name="NVIDIA H100", uuid="GPU-1", driver="570.1", memory_mb=81559),))


@pytest.mark.parametrize(("needed_gb", "verdict"), [(0.0, Verdict.GOOD), (1e9, Verdict.BAD)])
def test_disk_is_judged_where_the_folder_will_be_made(tmp_path: Path, needed_gb: float, verdict: Verdict) -> None:
    (check,) = check_disk(tmp_path / "not/yet/made", NO_ENGINE, needed_gb=needed_gb)
    assert check.verdict is verdict
    assert bool(check.do) == (verdict is Verdict.BAD)


def test_the_engines_disk_is_looked_at_only_on_this_machine(tmp_path: Path) -> None:
    assert len(check_disk(tmp_path, engine(local=True, data_root=str(tmp_path)))) == 2
    assert len(check_disk(tmp_path, engine(local=False, data_root=str(tmp_path)))) == 1


def test_every_environment_has_the_pythons_of_its_locks_for_this_machine(tmp_path: Path) -> None:
    for lock in ("a/lock-cp311-x86_64", "a/lock-cp39-x86_64", "b/lock-cp310-x86_64", "b/converter/lock-cp311-aarch64"):
        put(tmp_path / f"{lock}.txt", "")
    assert locked_pythons(tmp_path, "x86_64") == {"a": {"3.11", "3.9"}, "b": {"3.10"}, "b/converter": frozenset()}


def test_the_running_python_is_found_and_starts() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = find_pythons([sys.version_info[1]])
    assert [python.version for python in found] == [version]


def test_an_interpreter_that_does_not_start_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.8"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.8: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_pythons([8]) == ()


def test_pythons_are_judged_against_the_locks() -> None:
    able = Interpreter(version="3.11", path="/usr/bin/python3.11", has_venv=True)
    bare = Interpreter(version="3.10", path="/usr/bin/python3.10", has_venv=False)
    old = Interpreter(version="3.9", path="/usr/bin/python3.9", has_venv=True)
    locked = {"most": {"3.11", "3.12"}, "one": {"3.10"}}

    def judged(*found: Interpreter, of: dict[str, set[str]] = locked) -> tuple[Verdict, str, str]:
        (check,) = check_pythons(of, found)
        return check.verdict, check.found, check.do

    assert judged(able, of={"most": {"3.11"}}) == (Verdict.GOOD, "3.11: 1 of 1 environments", "")
    verdict, text, todo = judged(able, bare)
    assert (verdict, text) == (Verdict.NOTE, "3.11, 3.10: 1 of 2 environments; not one")
    assert "python3.10-venv" in todo
    assert "install Python 3.10" in judged(able)[2]
    assert judged(old)[0] is Verdict.WARN
    assert "lock the backends" in judged(able, of={"most": set()})[2]


def test_the_base_is_looked_for_in_the_order_of_the_build() -> None:
    def verdict(**found: object) -> Verdict:
        given = {"local": (), "refusal": "refused", "no_bootstrap": "needs root", "reference": "python:3.11"} | found
        return judge_base(**given)[0].verdict  # type: ignore[arg-type]

    assert verdict(local=("infermatrix/base:bookworm-slim",)) is Verdict.GOOD
    assert verdict(refusal=None) is Verdict.GOOD
    assert verdict(no_bootstrap=None) is Verdict.NOTE
    assert verdict() is Verdict.WARN


@pytest.mark.engine
def test_a_base_on_the_engine_is_found(base_image: str) -> None:
    (check,) = check_base(engine())
    assert check.verdict is Verdict.GOOD
    assert base_image.split("@")[0] in check.found or "python" in check.found


def test_no_buildkit_is_only_a_note() -> None:
    assert check_builder(Path("/usr/bin/docker"))[0].verdict is Verdict.GOOD
    assert check_builder(None)[0].verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("version", "kernel", "words"),
    [(1, "5.10.0", "max_usage_in_bytes"), (2, "6.1.0", "memory.peak"), (2, "5.15.0", "stays null")],
)
def test_the_memory_peak_depends_on_cgroup_and_kernel(facts: HostFacts, version: int, kernel: str, words: str) -> None:
    (check,) = check_limits(engine(cgroup_version=version, kernel=kernel), facts)
    assert words in check.found


def test_each_limit_that_cannot_be_enforced_has_a_line(facts: HostFacts) -> None:
    limits = {"memory": True, "swap": False, "cpuset": False}
    checks = check_limits(engine(cgroup_version=1, limits=limits), facts)
    assert [check.found for check in checks[1:]] == ["no swap limit on this engine", "no cpuset limit on this engine"]
    assert all(check.do for check in checks[1:])


def test_without_an_engine_the_lack_of_limits_is_said(facts: HostFacts, tmp_path: Path) -> None:
    put(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu memory")
    (check,) = check_limits(NO_ENGINE, facts, tmp_path)
    assert check.found.startswith("cgroup v2")
    assert "no limit on memory" in check.found


def test_gpus_are_listed_one_a_line(facts: HostFacts) -> None:
    assert check_gpus(facts)[0].verdict in (Verdict.NOTE, Verdict.WARN)
    (check,) = check_gpus(with_gpu(facts))
    assert check.found == "0: NVIDIA H100, 81559 MiB, driver 570.1, GPU-1"


def test_a_way_to_give_containers_a_gpu_is_looked_for(
    facts: HostFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu = with_gpu(facts)
    assert check_gpu_containers(facts, engine(), tmp_path) == ()
    assert check_gpu_containers(gpu, NO_ENGINE, tmp_path) == ()
    assert check_gpu_containers(gpu, engine(), tmp_path)[0].verdict is Verdict.WARN
    assert check_gpu_containers(gpu, engine(runtimes=("nvidia", "runc")), tmp_path)[0].verdict is Verdict.GOOD
    put(tmp_path / "etc/cdi/nvidia.yaml", "cdiVersion: 0.6.0")
    assert "CDI nvidia.yaml" in check_gpu_containers(gpu, engine(), tmp_path)[0].found
