"""The host's meters from end to end, on answers that were made by hand and a clock that the test moves."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gpus import Gpu, read_gpus
from orchestrator.meters.host import HostMeters
from orchestrator.meters.nvml import NvmlGpu
from orchestrator.meters.processes import family, is_of_container
from orchestrator.meters.recording import Replay
from orchestrator.meters.sampler import Sampler, Task
from orchestrator.meters.series import Window
from orchestrator.meters.sources import EnergySource, SourceKind
from tests.meters.handmade import BEGIN_S, BUSY_W, END_S, IDLE_W, OURS, UUID, Clock, recording

GPU = Gpu(index=0, name="A made-up board", uuid=UUID, driver="1", memory_mb=80 << 10)


class Rig:
    """Meters of the made-up board; `run_to` lets the sampler work up to a time of the recording."""

    def __init__(self, kin: frozenset[int] = frozenset({OURS}), **changes: Any) -> None:
        self.clock = Clock()
        gpu = NvmlGpu(Replay(recording(**changes), self.clock.seconds), UUID)
        sources = [] if "nvmlDeviceGetTotalEnergyConsumption" in changes else [gpu.energy_source()]
        self.meters = HostMeters(
            sources, {UUID: gpu}, missing={SourceKind.CPU: "no RAPL here"}, clock=self.clock.nanoseconds, kin=lambda _: kin
        )

    def run_to(self, seconds: float) -> None:
        while self.clock.now < seconds:
            self.meters.sampler.step()
            self.clock.now = round(self.clock.now + 0.01, 6)

    def wait(self, seconds: float) -> None:
        self.run_to(self.clock.now + seconds)


def measurement(
    begin_s: float = BEGIN_S + 0.5, end_s: float = END_S - 0.1, inferences: int = 1000, **more: Any
) -> dict[str, Any]:
    return {"window": {"begin_ns": round(begin_s * 1e9), "end_ns": round(end_s * 1e9), "inferences": inferences,
                       "clock_offset_ns": time.time_ns() - time.monotonic_ns(), **more}}


def measured(rig: Rig, *, pid: int | None = OURS) -> Any:
    rig.wait(0.5)
    rig.meters.measure_idle(rig.wait)
    watch = rig.meters.watch(UUID)
    if pid is not None:
        watch.began(pid)
    rig.run_to(8.0)
    return watch


def test_a_cell_s_energy_is_that_of_its_timed_loop_above_idle() -> None:
    found = measured(Rig()).cell(measurement())
    seconds = END_S - BEGIN_S - 0.6
    assert found["energy"]["device"] == "gpu"
    assert found["energy"]["power_w"] == pytest.approx(BUSY_W)
    assert found["energy"]["idle_w"] == pytest.approx(IDLE_W)
    assert found["energy"]["j_per_inference"] == pytest.approx((BUSY_W - IDLE_W) * seconds / 1000)
    assert found["null_reasons"]["energy.cpu_j_per_inference"] == "no RAPL here"


def test_a_cell_s_gpu_is_seen_before_during_and_after_with_its_own_memory() -> None:
    watch = measured(Rig())
    gpu = watch.cell(measurement(begin_s=BEGIN_S, end_s=END_S - 0.05))["gpu"]
    assert (gpu["before"]["sm_mhz"], gpu["during"]["sm_mhz"]["median"], gpu["after"]["sm_mhz"]) == (210, 1410, 210)
    assert gpu["memory_process_mb"] == 3 << 10
    assert (gpu["foreign_processes"], gpu["throttled_by"]) == (0, {"power cap": 1.0})
    assert watch.disturbance()["foreign_processes"] == 0
    assert watch.lost is None


def test_a_process_of_somebody_else_is_foreign() -> None:
    assert measured(Rig(kin=frozenset({1}))).disturbance()["foreign_processes"] == 1


def test_a_loop_too_short_for_the_counter_s_steps_has_no_energy() -> None:
    found = measured(Rig()).cell(measurement(begin_s=BEGIN_S + 0.5, end_s=BEGIN_S + 0.85))
    assert found["energy"]["j_per_inference"] is None
    assert "too short" in found["null_reasons"]["energy.j_per_inference"]


def test_without_the_trial_s_processes_nothing_is_booked_to_it() -> None:
    found = measured(Rig(), pid=None).cell(measurement())
    assert found["gpu"]["memory_process_mb"] is None
    assert "not among those of this machine" in found["null_reasons"]["gpu.memory_process_mb"]
    assert found["energy"]["j_per_inference"] is not None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "does not say when"),
        (None, "nothing was measured"),
        (measurement(clock_offset_ns=5), "not this machine's"),
        (measurement(begin_s=0.1), "does not lie within the trial"),
        (measurement(end_s=99.0), "does not lie within the trial"),
        (measurement(begin_s=6.0, end_s=5.0), "does not lie within the trial"),
    ],
)
def test_a_window_that_cannot_be_believed_gives_no_figure(said: dict[str, Any] | None, why: str) -> None:
    found = measured(Rig()).cell({"iterations": 5} if said == {} else said)
    assert (found["energy"], found["gpu"]) == (None, None)
    assert why in found["null_reasons"]["energy"]


def test_a_gpu_that_is_lost_is_known_to_be() -> None:
    rig = Rig(nvmlDeviceGetPowerUsage={"error": 15, "text": "GPU is lost"})
    assert measured(rig).lost == "NVML: GPU is lost"


def test_a_gpu_without_an_energy_counter_gives_its_state_only() -> None:
    replay = Replay(recording(nvmlDeviceGetTotalEnergyConsumption={"error": 3}), Clock().seconds)
    gpus, _ = read_gpus(library=replay)
    meters = HostMeters.open(gpus, root=Path("/nonexistent"), library=replay)
    assert set(meters.gpus) == {UUID}
    assert "Volta" in meters.missing[SourceKind.GPU]
    assert meters.metered(UUID, 0) == []


def test_a_machine_without_meters_starts_no_thread_and_says_why(tmp_path: Path) -> None:
    meters = HostMeters.open((), "nvidia-ml-py is not installed", root=tmp_path)
    meters.sampler.start()
    meters.measure_idle(lambda _: pytest.fail("there is nothing to wait for"))
    assert not [thread for thread in threading.enumerate() if thread.name == "meters"]
    watch = meters.watch(None)
    time.sleep(0.05)
    now = time.monotonic_ns() / 1e9
    found = watch.cell(measurement(begin_s=now - 0.03, end_s=now - 0.01))
    assert "no RAPL" in found["null_reasons"]["energy"]
    assert found["null_reasons"]["gpu"] == "the cell did not run on a GPU"
    assert meters.missing[SourceKind.GPU] == "nvidia-ml-py is not installed"
    meters.close()


def test_the_thread_reads_and_idle_power_is_found_on_the_real_clock() -> None:
    source = EnergySource(name="package-0", kind=SourceKind.CPU, meter="made up", read=lambda: 50.0 * time.monotonic())
    meters = HostMeters([source], {}, missing={})
    meters.sampler.start(avoid=range(4096))
    begin = time.monotonic_ns()
    time.sleep(1.5)
    meters.note_idle(Window(begin_ns=begin + 200_000_000, end_ns=time.monotonic_ns() - 100_000_000))
    meters.close()
    assert meters.idle_w["package-0"] == pytest.approx(50, rel=0.1)


def test_a_slow_question_is_asked_less_often() -> None:
    clock = Clock()
    asked = []

    def read(at_ns: int) -> None:
        asked.append(at_ns)
        clock.now += 0.02

    sampler = Sampler([Task(read=read, period_ns=10_000_000)], clock=clock.nanoseconds)
    while clock.now < 10:
        sampler.step()
        clock.now = round(clock.now + 0.01, 6)
    assert len(asked) == 5  # every 2 s: a hundred times what it takes


def test_the_family_of_a_process_is_it_and_what_it_started() -> None:
    child = subprocess.Popen(["sleep", "30"])
    try:
        assert {os.getpid(), child.pid} <= family(os.getpid())
        assert family(child.pid) == {child.pid}
    finally:
        child.kill()
        child.wait()
    assert family(child.pid) == frozenset()


@pytest.mark.parametrize("path", ["12:memory:/docker/{}", "0::/system.slice/docker-{}.scope"])
def test_a_container_s_process_is_known_by_its_control_group(tmp_path: Path, path: str) -> None:
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/cgroup").write_text(path.format("abc123") + "\n")
    assert is_of_container(77, "abc123", tmp_path)
    assert not is_of_container(77, "def456", tmp_path)
    assert not is_of_container(78, "abc123", tmp_path)
