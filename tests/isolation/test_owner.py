from __future__ import annotations

import subprocess
import sys

from orchestrator.isolation.owner import Owner, host_identity, start_ticks


def test_this_process_is_alive_and_survives_writing_and_parsing() -> None:
    owner = Owner.this_process()
    assert Owner.parse(str(owner)) == owner
    assert not owner.is_dead()


def test_a_process_that_ended_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner(host=host_identity(), pid=process.pid, start_ticks=start_ticks(process.pid) or 0)
    assert not owner.is_dead()
    process.communicate(b"\n")
    assert owner.is_dead()


def test_a_reused_pid_is_told_from_its_former_owner() -> None:
    me = Owner.this_process()
    assert Owner(host=me.host, pid=me.pid, start_ticks=me.start_ticks + 1).is_dead()


def test_nothing_is_known_of_processes_on_other_hosts() -> None:
    assert not Owner(host="elsewhere/boot", pid=1, start_ticks=1).is_dead()


def test_an_earlier_boot_of_this_host_left_only_dead_owners() -> None:
    name = host_identity().split("/")[0]
    assert Owner(host=f"{name}/another-boot", pid=1, start_ticks=1).is_dead()


def test_foreign_labels_are_not_owners() -> None:
    assert Owner.parse("") is None
    assert Owner.parse("somebody") is None
    assert Owner.parse("host:x:y") is None
