from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.meters.energy import Idle, Metered, energy_of, idle_power
from orchestrator.meters.series import Series, Window
from orchestrator.meters.sources import EnergySource, SourceKind

S = 1_000_000_000
LOOP = Window(begin_ns=10 * S, end_ns=14 * S)


def metered(name: str = "package-0", kind: SourceKind = SourceKind.CPU, *, watts: float = 100.0, idle: float | None = 40.0,
            until_s: int = 20) -> Metered:
    series = Series()
    for tenth in range(until_s * 100):
        series.add(tenth * S // 100, watts * tenth / 100)
    known = Idle(reason="nothing was idle") if idle is None else Idle(watts=idle)
    return Metered(source=EnergySource(name=name, kind=kind, meter="made up", read=lambda: 0.0), series=series, idle=known)


def test_energy_is_what_is_above_idle_per_inference_and_per_4096() -> None:
    found, reasons = energy_of(LOOP, 800, [metered()], device=SourceKind.CPU, missing={})
    assert found["j_per_inference"] == pytest.approx((100 - 40) * 4 / 800)
    assert found["j_per_4096"] == pytest.approx(4096 * found["j_per_inference"])
    assert found["gross_j_per_inference"] == pytest.approx(100 * 4 / 800)
    assert (found["power_w"], found["idle_w"]) == (pytest.approx(100), 40)
    assert found["cpu_j_per_inference"] == pytest.approx(found["j_per_inference"])
    assert reasons == {}


def test_all_packages_with_their_memory_are_one_device() -> None:
    parts = [metered("package-0"), metered("package-0-dram", watts=10, idle=8.0)]
    found, _ = energy_of(LOOP, 1, parts, device=SourceKind.CPU, missing={})
    assert found["j_per_inference"] == pytest.approx((60 + 2) * 4)
    assert [one["name"] for one in found["sources"]] == ["package-0", "package-0-dram"]


def test_a_gpu_s_cell_counts_the_board_and_says_apart_what_the_processors_took() -> None:
    parts = [metered(), metered("GPU-a", SourceKind.GPU, watts=300, idle=50.0)]
    found, _ = energy_of(LOOP, 100, parts, device=SourceKind.GPU, missing={})
    assert found["j_per_inference"] == pytest.approx(250 * 4 / 100)
    assert found["cpu_j_per_inference"] == pytest.approx(60 * 4 / 100)


def test_part_of_a_device_is_not_the_device() -> None:
    parts = [metered(), metered("package-1", until_s=12)]
    found, reasons = energy_of(LOOP, 1, parts, device=SourceKind.CPU, missing={})
    assert found["j_per_inference"] is None
    assert found["gross_j_per_inference"] is None
    assert "no new value after" in reasons["j_per_inference"]


def test_without_a_counter_every_figure_is_null_and_says_why() -> None:
    found, reasons = energy_of(LOOP, 1, [], device=SourceKind.CPU, missing={SourceKind.CPU: "no RAPL here"})
    figures = {name for name in found if name not in ("device", "window_s", "inferences", "sources")}
    assert all(found[name] is None for name in figures)
    assert reasons == dict.fromkeys(figures, "no RAPL here")


def test_without_idle_power_there_is_no_net_figure_but_a_gross_one() -> None:
    found, reasons = energy_of(LOOP, 1, [metered(idle=None)], device=SourceKind.CPU, missing={})
    assert found["gross_j_per_inference"] == pytest.approx(400)
    assert {name: why for name, why in reasons.items() if found[name] is not None} == {}
    assert reasons["j_per_inference"] == reasons["j_per_4096"] == reasons["idle_w"] == "nothing was idle"


def test_no_more_than_idle_is_not_zero_joules() -> None:
    found, reasons = energy_of(LOOP, 1, [metered(watts=39.0)], device=SourceKind.CPU, missing={})
    assert found["j_per_inference"] is None
    assert "no more than the 40 W" in reasons["j_per_inference"]


@given(watts=st.floats(1, 500), idle=st.floats(0.5, 500), inferences=st.integers(1, 10**6))
def test_nothing_is_ever_negative_and_every_null_has_a_reason(watts: float, idle: float, inferences: int) -> None:
    found, reasons = energy_of(LOOP, inferences, [metered(watts=watts, idle=idle)], device=SourceKind.CPU, missing={})
    for name, value in found.items():
        if name not in ("device", "sources"):
            assert value is None or value >= 0
            assert (value is None) == (name in reasons)


def test_idle_power_is_the_mean_of_a_window_or_says_why_not() -> None:
    series = metered(watts=55.0).series
    assert idle_power(series, LOOP).watts == pytest.approx(55)
    assert "not measured" in idle_power(Series(), LOOP).reason
