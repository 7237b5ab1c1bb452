from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cputopology import parse_cpulist
from orchestrator.errors import ConfigError
from orchestrator.gpus import read_gpus
from orchestrator.hostfacts import HostFacts, choose_cpus, read_host
from tests.doctor.machines import ARM, CHIPLETS, HYBRID, SERVER, SMALL_VM, Machine, put, write_machine


def facts_of(tmp_path: Path, machine: Machine) -> HostFacts:
    return read_host(write_machine(tmp_path, machine))


def other(tmp_path: Path, name: str, machine: Machine) -> HostFacts:
    return read_host(write_machine(tmp_path / name, machine))


def test_a_two_socket_smt_server_is_read_as_one(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, SERVER)
    assert (facts.sockets, facts.cores, facts.threads_per_core, facts.smt) == (2, 32, 2, True)
    assert len(facts.cpus) == len(facts.usable_cpus) == 64
    assert facts.nodes[1] == (*range(16, 32), *range(48, 64))
    assert [(c.level, c.size_kb, len(c.shared_by)) for c in facts.caches] == [(1, 48, 32), (2, 2048, 32), (3, 107520, 2)]
    assert facts.cpu_model == "Intel(R) Xeon(R) Platinum 8480+"
    assert (facts.machine, facts.virtual, facts.governor, facts.turbo) == ("x86_64", False, "powersave", True)
    assert (facts.microcode, facts.thp, facts.os) == ("0x2b", "madvise", "Debian GNU/Linux 12 (bookworm)")


def test_a_virtual_machine_says_what_it_cannot_see(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, SMALL_VM)
    assert facts.virtual is True
    assert facts.governor is None
    assert facts.turbo is None
    assert set(facts.null_reasons) == {"governor", "turbo"}
    assert (facts.memory_mb, facts.swap_mb) == (24105, 0)


def test_an_arm_server_is_named_by_its_part(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, ARM)
    assert (facts.machine, facts.cpu_model, facts.virtual) == ("aarch64", "Neoverse-N1", False)
    assert facts.null_reasons["microcode"]
    assert other(tmp_path, "vm", dataclasses.replace(ARM, virtual=True)).virtual is True


def test_an_empty_tree_gives_reasons_instead_of_errors(tmp_path: Path) -> None:
    facts = read_host(tmp_path)
    assert facts.usable_cpus == (0,)
    assert {"memory_mb", "swap_mb", "virtual", "governor"} <= set(facts.null_reasons)
    assert facts.gpus == ()
    assert facts.gpus_reason
    assert choose_cpus(facts, 1) == (0,)


def test_this_machine_can_be_read_and_written_as_json() -> None:
    facts = read_host()
    plain = json.loads(json.dumps(facts.to_json(), allow_nan=False))
    assert plain["fingerprint"] == facts.fingerprint == read_host().fingerprint
    assert len(plain["cpus"]) >= len(plain["usable_cpus"]) >= 1


def test_usable_cpus_are_those_of_the_affinity(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, dataclasses.replace(SERVER, allowed="4-7,40"))
    assert facts.usable_cpus == (4, 5, 6, 7, 40)
    assert len(facts.cpus) == 64


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"sys/fs/cgroup/user.slice/job/cpu.max": "150000 100000"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),  # inside a container with a cgroup namespace
        ({"sys/fs/cgroup/user.slice/job/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n2:memory:/",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        ({}, None),
    ],
)
def test_the_quota_is_read_from_either_cgroup_version(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    write_machine(tmp_path, SERVER)
    for path, text in files.items():
        put(tmp_path / path, text)
    assert read_host(tmp_path).cpu_quota == quota


@pytest.mark.parametrize(
    "same",
    [
        {"hostname": "node2"},
        {"kernel": "6.1.0-21-amd64"},
        {"memory_kb": SERVER.memory_kb - 150_000},
        {"governor": "performance"},
        {"turbo": False},
        {"allowed": "0-3"},
    ],
)
def test_reboots_names_and_states_keep_the_fingerprint(tmp_path: Path, same: dict[str, object]) -> None:
    again = dataclasses.replace(SERVER, **same)  # type: ignore[arg-type]
    assert other(tmp_path, "a", SERVER).fingerprint == other(tmp_path, "b", again).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "Intel(R) Xeon(R) Gold 6338"},
        {"threads": 1},
        {"cores": 8},
        {"nodes": 2},
        {"memory_kb": SERVER.memory_kb // 2},
        {"virtual": True},
        {"kernel": "6.12.9-amd64"},
        {"cores_per_llc": 4},
    ],
)
def test_another_kind_of_machine_has_another_fingerprint(tmp_path: Path, changed: dict[str, object]) -> None:
    different = dataclasses.replace(SERVER, **changed)  # type: ignore[arg-type]
    assert other(tmp_path, "a", SERVER).fingerprint != other(tmp_path, "b", different).fingerprint


@pytest.mark.parametrize("gigabytes", [4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])
def test_a_kernels_own_reserve_does_not_change_the_fingerprint(tmp_path: Path, gigabytes: int) -> None:
    shown = [int(gigabytes * 2**20 * share) for share in (0.96, 0.985)]
    prints = {other(tmp_path, str(kb), dataclasses.replace(SMALL_VM, memory_kb=kb)).fingerprint for kb in shown}
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("machine", "threads", "chosen"),
    [
        (SERVER, 1, (1,)),
        (SERVER, 4, (1, 2, 3, 4)),
        (SERVER, 15, tuple(range(1, 16))),
        (SERVER, 16, tuple(range(16, 32))),  # the second socket is whole without core 0
        (SERVER, 17, (1, *range(16, 32))),
        (CHIPLETS, 3, (1, 2, 3)),
        (CHIPLETS, 4, (4, 5, 6, 7)),  # one cache without core 0, not three of its own and one of the next
        (CHIPLETS, 8, tuple(range(4, 12))),
        (SMALL_VM, 1, (1,)),
        (SMALL_VM, 2, (0, 1)),
        (ARM, 4, (1, 2, 3, 4)),  # private caches only: the node decides
        (HYBRID, 3, (1, 2, 3)),
        (HYBRID, 4, (0, 1, 2, 3)),  # fast cores before sparing core 0
        (HYBRID, 5, (1, 2, 3, 4, 5)),
    ],
)
def test_cpus_share_a_cache_and_no_core(tmp_path: Path, machine: Machine, threads: int, chosen: tuple[int, ...]) -> None:
    assert choose_cpus(facts_of(tmp_path, machine), threads) == tuple(sorted(chosen))


def test_siblings_are_used_only_when_cores_run_out(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, Machine(cores=4, threads=2))
    assert choose_cpus(facts, 4) == (0, 1, 2, 3)
    assert choose_cpus(facts, 6) == (0, 1, 2, 3, 4, 5)
    assert choose_cpus(facts, 8) == tuple(range(8))


def test_an_affinity_of_siblings_only_still_gives_distinct_cores_first(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, dataclasses.replace(SERVER, allowed="3,35,36,37"))
    assert choose_cpus(facts, 3) == (3, 36, 37)


def test_nodes_bound_the_choice_where_caches_are_hidden(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, dataclasses.replace(SERVER, cores_per_llc=0))
    assert facts.caches == ()
    assert choose_cpus(facts, 16) == tuple(range(16, 32))


@pytest.mark.parametrize("threads", [0, -1, 3])
def test_threads_that_cannot_be_had_are_refused_with_the_number_that_can(tmp_path: Path, threads: int) -> None:
    with pytest.raises(ConfigError, match="may use 2 CPUs") as refused:
        choose_cpus(facts_of(tmp_path, SMALL_VM), threads)
    assert "1 to 2" in refused.value.hint


@settings(max_examples=20, deadline=None)
@given(data=st.data(), sockets=st.integers(1, 2), cores=st.sampled_from([1, 2, 4, 8]), threads=st.integers(1, 2))
def test_the_choice_is_always_usable_distinct_and_spread(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sockets: int, cores: int, threads: int
) -> None:
    machine = Machine(sockets=sockets, cores=cores, threads=threads)
    allowed = data.draw(st.sets(st.integers(0, machine.count - 1), min_size=1))
    machine = dataclasses.replace(machine, allowed=",".join(map(str, sorted(allowed))))
    facts = read_host(write_machine(tmp_path_factory.mktemp("m"), machine))
    wanted = data.draw(st.integers(1, len(allowed)))
    chosen = choose_cpus(facts, wanted)
    assert len(set(chosen)) == wanted
    assert set(chosen) <= allowed
    assert list(chosen) == sorted(chosen)
    available = {machine.core_of(cpu) for cpu in allowed}
    assert len({machine.core_of(cpu) for cpu in chosen}) == min(wanted, len(available))
    nodes = [{machine.core_of(cpu) for cpu in allowed if machine.node_of(cpu) == node} for node in range(sockets)]
    if wanted <= max(map(len, nodes)):
        assert len({machine.node_of(cpu) for cpu in chosen}) == 1


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("", ()), ("0-1\n", (0, 1)), ("none", ())],
)
def test_the_kernels_cpu_lists_are_understood(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpulist(text) == cpus


def test_no_gpu_comes_with_its_reason() -> None:
    gpus, reason = read_gpus()
    assert bool(gpus) != bool(reason)
