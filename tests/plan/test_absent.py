"""Cells for a device that is not here are told from the others, in words."""

from __future__ import annotations

from pathlib import Path

from orchestrator.backends import Registry, load_registry
from orchestrator.facts.seconds import Known
from orchestrator.gpus import Gpu
from orchestrator.plan.absent import absent_notes, on_this_machine, time_here
from orchestrator.plan.plan import Plan, make_plan
from tests.config.madeup import read, write_backend

UUID = "GPU-8836a272-ca08-9629-24b6-54ca9b98cd30"
GPUS = (Gpu(index=0, name="L4", uuid=UUID, driver="580.1", memory_mb=23034),)
TEXT = """title: T
licence: MIT
homepage: https://example.org
distribution: t
formats: [onnx]
precisions: [fp32]
devices: [{devices}]
"""


def planned(folder: Path) -> Plan:
    for name, devices in (("both", "cpu, cuda"), ("far", "cuda")):
        write_backend(folder / name, TEXT.format(devices=devices))
    registry: Registry = load_registry(folder)
    axes = "models: [spam]\nbackends: [both, far]\nscenarios: [single_stream]\nthreads: [1]\ndevices: [cpu, cuda, 'cuda:1']\n"
    config = read(axes, registry)
    return make_plan(config, registry)


def test_without_a_gpu_the_cells_of_the_cpu_are_left_and_the_others_are_told(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    here = on_this_machine(plan, (), "NVML shows no GPU")
    assert {(cell.label, cell.device) for cell in here.cells} == {("both", "cpu")}
    first, second = absent_notes(plan, (), "NVML shows no GPU")
    assert first.startswith("2 cells will be `not run` here")
    assert "no GPU `cuda` was found on this machine (NVML shows no GPU)" in first
    assert "`cuda:1`" in second


def test_the_time_is_that_of_the_trials_that_can_run(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    none, all_of_it = time_here(plan, (), "NVML shows no GPU", Known(loads={})), plan.estimate
    assert none.trials == plan.config.profile.trials + len(plan.anchors) < all_of_it.trials
    assert none.seconds < all_of_it.seconds


def test_a_gpu_that_is_here_is_not_one_that_is_not(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert {cell.device for cell in on_this_machine(plan, GPUS, None).cells} == {"cpu", "cuda"}
    (note,) = absent_notes(plan, GPUS, None)
    assert "no GPU `cuda:1` was found on this machine (0: L4)" in note
