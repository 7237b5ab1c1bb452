"""Which metrics a cell has (`docs/architecture.md`), under which title and unit the reports show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orchestrator.report.units import Unit


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of `cell.metrics`; `path` is dotted, relative to `metrics`."""

    path: str
    title: str
    unit: Unit
    meter: str = ""  # metrics of one meter stand together: where it gave nothing, the reports say so once

    @property
    def column(self) -> str:
        """Its name in the flat tables."""
        return self.path.replace(".", "_")


class View(Enum):
    """What the grid shows: the reader switches between these."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    MEMORY = "memory"
    LOAD = "load"


VIEW_TITLES = {
    View.LATENCY: "Latency (p50)",
    View.THROUGHPUT: "Throughput",
    View.MEMORY: "Memory (peak)",
    View.LOAD: "Load + compile",
}

LATENCY = "latency_ms.p50"

GPU, TAIL, THROTTLING = "GPU", "Latency, tail", "Throttling"

METRICS: tuple[Metric, ...] = (
    Metric(path="latency_ms.min", title="Latency, min", unit=Unit.MS),
    Metric(path="latency_ms.mean", title="Latency, mean", unit=Unit.MS),
    Metric(path=LATENCY, title="Latency, p50", unit=Unit.MS),
    Metric(path="latency_ms.p90", title="Latency, p90", unit=Unit.MS, meter=TAIL),
    Metric(path="latency_ms.p95", title="Latency, p95", unit=Unit.MS, meter=TAIL),
    Metric(path="latency_ms.p99", title="Latency, p99", unit=Unit.MS, meter=TAIL),
    Metric(path="latency_ms.p99_9", title="Latency, p99.9", unit=Unit.MS, meter=TAIL),
    Metric(path="throughput_ips", title="Throughput", unit=Unit.PER_SECOND),
    Metric(path="cpu_utilization", title="CPU use (of one core)", unit=Unit.FRACTION),
    Metric(path="cpu_time_s_per_inference", title="CPU time per inference", unit=Unit.SECONDS),
    Metric(path="threads_seen", title="Threads seen", unit=Unit.COUNT),
    Metric(path="nr_throttled", title="Times throttled", unit=Unit.COUNT, meter=THROTTLING),
    Metric(path="throttled_s", title="Time throttled", unit=Unit.SECONDS, meter=THROTTLING),
    Metric(path="voluntary_switches_per_s", title="Switches, waiting", unit=Unit.PER_SECOND, meter="Context switches"),
    Metric(path="involuntary_switches_per_s", title="Switches, CPU taken", unit=Unit.PER_SECOND, meter="Context switches"),
    Metric(path="memory_peak_mb", title="Memory, process peak", unit=Unit.MB),
    Metric(path="memory_cgroup_peak_mb", title="Memory, cgroup peak", unit=Unit.MB, meter="Memory, cgroup"),
    Metric(path="memory_cgroup_anon_mb", title="Memory, cgroup's processes", unit=Unit.MB, meter="Memory, cgroup"),
    Metric(path="memory_cgroup_file_mb", title="Memory, cgroup's file cache", unit=Unit.MB, meter="Memory, cgroup"),
    Metric(path="memory_cgroup_working_mb", title="Memory, cgroup less idle cache", unit=Unit.MB, meter="Memory, cgroup"),
    Metric(path="memory_delta_mb", title="Memory, beyond loading", unit=Unit.MB),
    Metric(path="container_start_ms", title="Start of the container", unit=Unit.MS),
    Metric(path="start_ms", title="Start of Python", unit=Unit.MS),
    Metric(path="import_ms", title="Import", unit=Unit.MS),
    Metric(path="convert_ms", title="Convert", unit=Unit.MS),
    Metric(path="load_ms", title="Load", unit=Unit.MS),
    Metric(path="compile_ms", title="Compile", unit=Unit.MS),
    Metric(path="first_inference_ms", title="First inference", unit=Unit.MS),
    Metric(path="energy_j_per_inference", title="Energy per inference, above idle", unit=Unit.JOULE, meter="Energy"),
    Metric(path="energy_j_per_4096", title="Energy per 4,096 inferences, above idle", unit=Unit.JOULE, meter="Energy"),
    Metric(path="energy_gross_j_per_inference", title="Energy per inference, idle included", unit=Unit.JOULE, meter="Energy"),
    Metric(path="energy_cpu_j_per_inference", title="Energy per inference, processors'", unit=Unit.JOULE, meter="Energy"),
    Metric(path="power_w", title="Power while measuring", unit=Unit.WATT, meter="Energy"),
    Metric(path="idle_power_w", title="Power when idle", unit=Unit.WATT, meter="Energy"),
    Metric(path="device_latency_ms", title="Latency without copies to the device, p50", unit=Unit.MS, meter=GPU),
    Metric(path="gpu_memory_mb", title="GPU memory of the process", unit=Unit.MB, meter=GPU),
    Metric(path="gpu_utilization", title="GPU use", unit=Unit.FRACTION, meter=GPU),
    Metric(path="gpu_sm_mhz", title="GPU clock", unit=Unit.MEGAHERTZ, meter=GPU),
    Metric(path="gpu_temperature_c", title="GPU temperature", unit=Unit.CELSIUS, meter=GPU),
    Metric(path="gpu_slowed_share", title="Time that the GPU was slowed down", unit=Unit.FRACTION, meter=GPU),
    Metric(path="gpu_foreign_processes", title="Others' processes on the GPU", unit=Unit.COUNT, meter=GPU),
    Metric(path="install_mb", title="Installed size", unit=Unit.MB),
    Metric(path="packages", title="Installed packages", unit=Unit.COUNT),
)

COLD_START: tuple[tuple[str, str], ...] = (
    ("container_start_ms", "container"),
    ("start_ms", "Python"),
    ("import_ms", "import"),
    ("convert_ms", "convert"),
    ("load_ms", "load"),
    ("compile_ms", "compile"),
    ("first_inference_ms", "first inference"),
)
