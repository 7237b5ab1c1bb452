"""One GPU as NVML answers for it: its energy counter, and a snapshot of clocks, throttling, temperature, memory, processes.

`library` is the module `pynvml`, or a recording that answers in its stead (`recording.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.meters.series import AbsentError
from orchestrator.meters.sources import EnergySource, SourceKind

METER = "NVML total energy"
NOT_SUPPORTED, GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND = 3, 15, 16, 28
_GONE = {GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND}
_TEMPERATURE_GPU, _CLOCK_SM, _CLOCK_MEMORY = 0, 1, 2

# figure → functions (newer name first; which of them a driver and a binding know depends on their age), arguments, factor
_NUMBERS: Mapping[str, tuple[tuple[str, ...], tuple[int, ...], float]] = {
    "power_w": (("nvmlDeviceGetPowerUsage",), (), 1e-3),
    "temperature_c": (("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"), (_TEMPERATURE_GPU,), 1.0),
    "sm_mhz": (("nvmlDeviceGetClockInfo",), (_CLOCK_SM,), 1.0),
    "memory_mhz": (("nvmlDeviceGetClockInfo",), (_CLOCK_MEMORY,), 1.0),
    "performance_state": (("nvmlDeviceGetPerformanceState",), (), 1.0),
    "throttle_bits": (("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"), (), 1.0),
}
# nvml.h, nvmlClocksEventReasons
THROTTLE_REASONS: Mapping[int, str] = {
    0x1: "idle", 0x2: "application clocks", 0x4: "power cap", 0x8: "hardware slowdown", 0x10: "sync boost",
    0x20: "thermal slowdown", 0x40: "hardware thermal slowdown", 0x80: "hardware power brake", 0x100: "display clocks",
}
SLOWED = frozenset({"hardware slowdown", "thermal slowdown", "hardware thermal slowdown", "hardware power brake"})


@dataclass(frozen=True, kw_only=True)
class GpuProcess:
    """A process that has a context on the GPU, by the number that the host gave it; memory in MiB."""

    pid: int
    memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class GpuSnapshot:
    """What NVML said at one moment; a figure that it refused is missing in `values`, and `reasons` says why."""

    at_ns: int
    values: Mapping[str, float]
    processes: tuple[GpuProcess, ...] | None
    reasons: Mapping[str, str] = field(default_factory=dict)
    lost: str | None = None  # NVML says that the GPU is gone

    @property
    def throttled_by(self) -> frozenset[str]:
        """Why the clocks are not higher, in words."""
        bits = int(self.values.get("throttle_bits", 0))
        return frozenset(name for bit, name in THROTTLE_REASONS.items() if bits & bit)


class NvmlGpu:
    """Asks NVML about one GPU, found by its UUID. NVML must have been initialised."""

    def __init__(self, library: Any, uuid: str) -> None:
        self._library = library
        self.uuid = uuid
        self._handle = library.nvmlDeviceGetHandleByUUID(uuid)

    def energy_source(self) -> EnergySource:
        """Its energy counter: the whole board since the driver was loaded, on Volta and later.

        Raises:
            AbsentError: the GPU has none.
        """
        def read() -> float:
            return float(self._ask(("nvmlDeviceGetTotalEnergyConsumption",), ())) / 1e3

        read()
        return EnergySource(name=self.uuid, kind=SourceKind.GPU, meter=METER, read=read)

    def snapshot(self, at_ns: int) -> GpuSnapshot:
        """All that NVML says now, each figure on its own: an answer that fails takes no other with it."""
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        lost = None
        for name, (functions, arguments, factor) in _NUMBERS.items():
            try:
                values[name] = float(self._ask(functions, arguments)) * factor
            except AbsentError as error:
                reasons[name] = str(error)
                lost = lost or (str(error) if isinstance(error, _LostError) else None)
        for name, function, part, factor in (
            ("utilization", "nvmlDeviceGetUtilizationRates", "gpu", 0.01),
            ("memory_used_mb", "nvmlDeviceGetMemoryInfo", "used", 1 / 2**20),
        ):
            try:
                values[name] = float(getattr(self._ask((function,), ()), part)) * factor
            except AbsentError as error:
                reasons[name] = str(error)
        try:
            processes = self._processes()
        except AbsentError as error:
            processes, reasons["processes"] = None, str(error)
        return GpuSnapshot(at_ns=at_ns, values=values, processes=processes, reasons=reasons, lost=lost)

    def _processes(self) -> tuple[GpuProcess, ...]:
        found: dict[int, float | None] = {}
        for function in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._ask((function,), ()):
                used = process.usedGpuMemory
                found[int(process.pid)] = None if used is None else float(used) / 2**20
        return tuple(GpuProcess(pid=pid, memory_mb=used) for pid, used in sorted(found.items()))

    def _ask(self, functions: tuple[str, ...], arguments: tuple[int, ...]) -> Any:
        """The first of the functions that is there and answers."""
        failed: AbsentError = AbsentError(f"this nvidia-ml-py has no {functions[0]}")
        for name in functions:
            function = getattr(self._library, name, None)
            if function is None:
                continue
            try:
                return function(self._handle, *arguments)
            except self._library.NVMLError as error:
                kind = _LostError if error.value in _GONE else AbsentError
                failed = kind(f"NVML: {error}" if error.value != NOT_SUPPORTED else f"NVML: this GPU does not offer {name}")
        raise failed


class _LostError(AbsentError):
    """NVML says that the GPU is gone."""
