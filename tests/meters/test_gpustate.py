from __future__ import annotations

from typing import Any

import pytest

from orchestrator.meters.gpustate import Family, disturbance, gpu_state
from orchestrator.meters.nvml import GpuProcess, GpuSnapshot
from orchestrator.meters.series import Window

LOOP = Window(begin_ns=100, end_ns=200)
OURS = Family(pids=frozenset({1, 2}))


def shot(at: int, *, bits: int = 0, processes: tuple[tuple[int, float | None], ...] | None = (), **values: float) -> GpuSnapshot:
    listed = None if processes is None else tuple(GpuProcess(pid=pid, memory_mb=mb) for pid, mb in processes)
    reasons = {} if processes is not None else {"processes": "NVML: Insufficient Permissions"}
    return GpuSnapshot(at_ns=at, values={"sm_mhz": 1000.0, "throttle_bits": bits, **values}, processes=listed, reasons=reasons)


def state(*snapshots: GpuSnapshot, family: Family = OURS) -> tuple[dict[str, Any], dict[str, str]]:
    return gpu_state(LOOP, snapshots, family)


def test_before_during_and_after_are_told_apart() -> None:
    found, reasons = state(shot(10, sm_mhz=1), shot(90, sm_mhz=2), shot(100, sm_mhz=3), shot(150, sm_mhz=9), shot(200, sm_mhz=4),
                           shot(210, sm_mhz=5), shot(220, sm_mhz=6))
    assert (found["before"]["sm_mhz"], found["after"]["sm_mhz"], found["snapshots"]) == (2, 5, 3)
    assert found["during"]["sm_mhz"] == {"min": 3, "median": 4, "max": 9}
    assert reasons["before.power_w"] == "NVML did not say"
    assert found["during"]["power_w"] is None
    assert "during.power_w" in reasons


def test_a_loop_between_two_snapshots_has_no_state_and_says_so() -> None:
    found, reasons = state(shot(90), shot(210))
    for name in ("during", "throttled_by", "slowed_share", "memory_process_mb", "foreign_processes"):
        assert found[name] is None
        assert "not asked within the timed loop" in reasons[name]


def test_the_share_of_time_under_each_throttle_reason() -> None:
    found, _ = state(shot(110, bits=0x4), shot(120, bits=0x4 | 0x40), shot(130), shot(140, bits=0x4))
    assert found["throttled_by"] == {"hardware thermal slowdown": 0.25, "power cap": 0.75}
    assert found["slowed_share"] == 0.25  # a power cap is how a GPU works at full load; heat is not


def test_the_trial_s_memory_is_the_peak_of_the_sum_of_its_processes() -> None:
    found, reasons = state(shot(110, processes=((1, 100), (9, 7))), shot(120, processes=((1, 150), (2, 30))), shot(130))
    assert (found["memory_process_mb"], found["foreign_processes"]) == (180, 1)
    assert "memory_process_mb" not in reasons


@pytest.mark.parametrize(
    ("snapshot", "family", "why"),
    [
        (shot(110, processes=((1, None),)), OURS, "does not tell the memory"),
        (shot(110, processes=((9, 5),)), OURS, "no process of the trial"),
        (shot(110, processes=None), OURS, "Insufficient Permissions"),
        (shot(110, processes=((1, 5),)), Family(unknown="another machine's engine"), "another machine's engine"),
    ],
)
def test_memory_that_cannot_be_booked_says_why(snapshot: GpuSnapshot, family: Family, why: str) -> None:
    found, reasons = state(snapshot, family=family)
    assert found["memory_process_mb"] is None
    assert why in reasons["memory_process_mb"]


def test_foreign_processes_are_unknown_not_none_where_the_trial_s_own_are_not_known() -> None:
    found = disturbance([shot(1, processes=((9, 5),))], Family(unknown="no mapping"))
    assert (found["foreign_processes"], found["null_reasons"]["foreign_processes"]) == (None, "no mapping")


def test_what_disturbed_a_trial_is_summed_over_all_of_it() -> None:
    found = disturbance([shot(1, processes=((9, 5),), bits=0x8), shot(2, bits=0x24), shot(3, processes=((1, 5),))], OURS)
    assert (found["foreign_processes"], found["slowed_by"]) == (1, ["hardware slowdown", "thermal slowdown"])
