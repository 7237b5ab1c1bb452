from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gpus import Gpu, gpu_of, is_gpu, read_gpus
from orchestrator.meters.nvml import GPU_IS_LOST, NvmlGpu
from orchestrator.meters.recording import BY_HAND, RECORDED, Recorder, Replay
from orchestrator.meters.series import AbsentError
from tests.meters.handmade import BEGIN_S, BUSY_W, OURS, UUID, Clock, recording

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nvml"  # real recordings, once there are any
FILES = sorted(FIXTURES.glob("*.json"))


def board(clock: Clock, **changes: Any) -> NvmlGpu:
    return NvmlGpu(Replay(recording(**changes), clock.seconds), UUID)


def test_the_gpus_of_a_machine_are_listed() -> None:
    found, why = read_gpus(library=Replay(recording(), Clock().seconds))
    assert why is None
    assert found == (Gpu(index=0, name="A made-up board", uuid=UUID, driver="550.54.15", memory_mb=80 << 10),)


def test_energy_is_in_joules_and_grows_with_time() -> None:
    clock = Clock()
    source = board(clock).energy_source()
    first = source.read()
    clock.now = 1.0
    assert source.read() - first == pytest.approx(60.0)


def test_a_gpu_before_volta_has_no_energy_counter() -> None:
    gpu = board(Clock(), nvmlDeviceGetTotalEnergyConsumption={"error": 3, "text": "Not Supported"})
    with pytest.raises(AbsentError, match="does not offer nvmlDeviceGetTotalEnergyConsumption"):
        gpu.energy_source()


def test_a_snapshot_has_every_figure_in_its_unit() -> None:
    clock = Clock()
    clock.now = BEGIN_S + 1
    found = board(clock).snapshot(5)
    assert found.values == {
        "power_w": BUSY_W, "temperature_c": 61, "sm_mhz": 1410, "memory_mhz": 1215, "performance_state": 0, "throttle_bits": 4,
        "utilization": 0.98, "memory_used_mb": 10 << 10,
    }
    assert found.throttled_by == {"power cap"}
    assert found.processes is not None
    assert [(one.pid, one.memory_mb) for one in found.processes] == [(OURS, 3 << 10)]
    assert (found.reasons, found.lost) == ({}, None)


def test_an_answer_that_fails_takes_no_other_with_it() -> None:
    found = board(Clock(), nvmlDeviceGetPowerUsage={"error": 3}, nvmlDeviceGetUtilizationRates=None,
                  nvmlDeviceGetComputeRunningProcesses={"error": 4, "text": "Insufficient Permissions"}).snapshot(0)
    assert set(found.reasons) == {"power_w", "utilization", "processes"}
    assert "this nvidia-ml-py has no nvmlDeviceGetUtilizationRates" in found.reasons["utilization"]
    assert found.processes is None
    assert found.values["sm_mhz"] == 210
    assert found.lost is None


def test_the_driver_that_hides_the_memory_of_processes_is_understood() -> None:
    found = board(Clock(), nvmlDeviceGetComputeRunningProcesses={"value": [{"pid": 5, "usedGpuMemory": None}]}).snapshot(0)
    assert found.processes is not None
    assert found.processes[0].memory_mb is None


def test_a_lost_gpu_is_told_from_a_question_that_it_refuses() -> None:
    lost = {"error": GPU_IS_LOST, "text": "GPU is lost"}
    assert board(Clock(), nvmlDeviceGetPowerUsage=lost).snapshot(0).lost == "NVML: GPU is lost"


@pytest.mark.parametrize(
    ("device", "index"),
    [("cuda", 0), ("cuda:1", 1), ("cuda:GPU-b", 1), ("cuda:2", None), ("cuda:GPU-", None), ("cpu", None), ("cuda:GPU-x", None)],
)
def test_a_cell_s_device_means_one_gpu_or_none(device: str, index: int | None) -> None:
    gpus = [Gpu(index=i, name="G", uuid=f"GPU-{letter}", driver="1", memory_mb=1) for i, letter in enumerate("ab")]
    found = gpu_of(device, gpus)
    assert (None if found is None else found.index) == index
    assert is_gpu(device) is (device != "cpu")


def test_what_is_recorded_is_what_is_replayed(tmp_path: Path) -> None:
    clock, later = Clock(), Clock()
    recorder = Recorder(Replay(recording(nvmlDeviceGetPerformanceState={"error": 3, "text": "Not Supported"}), clock.seconds),
                        clock.seconds)
    gpu = NvmlGpu(recorder, UUID)
    seen = []
    for tenths in range(0, 60, 5):
        clock.now = tenths / 10
        seen.append((gpu.snapshot(0), gpu.energy_source().read()))
    recorder.save(tmp_path / "r.json", driver="550.54.15")
    again = NvmlGpu(Replay.load(tmp_path / "r.json", later.seconds), UUID)
    for tenths, expected in zip(range(0, 60, 5), seen, strict=True):
        later.now = tenths / 10
        assert (again.snapshot(0), again.energy_source().read()) == expected


def test_a_recording_says_whether_it_is_one(tmp_path: Path) -> None:
    Recorder(Replay(recording(), Clock().seconds)).save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["source"] == RECORDED
    assert Replay(recording(), Clock().seconds).source == BY_HAND


def test_another_file_is_no_recording() -> None:
    with pytest.raises(ValueError, match="schema"):
        Replay({"schema": "other/1"}, Clock().seconds)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_recordings_are_understood(path: Path) -> None:
    clock = Clock()
    library = Replay.load(path, clock.seconds)
    gpus, _ = read_gpus(library=library)
    assert gpus
    found = NvmlGpu(library, gpus[0].uuid).snapshot(0)
    assert {"power_w", "sm_mhz", "temperature_c"} <= set(found.values)
