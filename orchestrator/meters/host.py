"""The meters of this machine for the length of a run: opened once, read all the time, asked about each timed loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.gpus import Gpu, nvml_library
from orchestrator.meters.energy import Idle, Metered, energy_of, idle_power
from orchestrator.meters.gpustate import Family, disturbance, gpu_state
from orchestrator.meters.nvml import GpuSnapshot, NvmlGpu
from orchestrator.meters.processes import family
from orchestrator.meters.rapl import find_rapl
from orchestrator.meters.sampler import Clock, Sampler, Task
from orchestrator.meters.series import AbsentError, Series, Window
from orchestrator.meters.sources import EnergySource, SourceKind

ENERGY_PERIOD_NS = 10_000_000
SNAPSHOT_PERIOD_NS = 100_000_000
IDLE_S = 3.0
PATIENCE_S = 0.5  # for the counter's next update after a trial's last loop
OFFSET_TOLERANCE_NS = 100_000_000  # between this clock's distance to the time of day and the trial's
NOT_MEASURED = Idle(reason="idle power was not measured")


class HostMeters:
    """All energy counters and GPUs that this process can read. `close` it; without any it costs nothing."""

    def __init__(
        self, sources: Sequence[EnergySource], gpus: Mapping[str, NvmlGpu], *, missing: Mapping[SourceKind, str],
        clock: Clock = time.monotonic_ns, kin: Callable[[int], frozenset[int]] = family,
    ) -> None:
        self.missing = dict(missing)
        self.gpus = dict(gpus)
        self.clock = clock
        self.kin = kin
        self._series = {source: Series(modulus=source.modulus_j) for source in sources}
        self._idle: dict[str, Idle] = {}
        self._snapshots: dict[str, list[GpuSnapshot]] = {uuid: [] for uuid in gpus}
        self._watches: list[TrialWatch] = []
        tasks = [Task(read=self._reader(source), period_ns=ENERGY_PERIOD_NS) for source in sources]
        tasks += [Task(read=self._looker(uuid), period_ns=SNAPSHOT_PERIOD_NS) for uuid in gpus]
        self.sampler = Sampler(tasks, clock=clock)

    @classmethod
    def open(
        cls, gpus: Sequence[Gpu], why_none: str | None = None, *, root: Path = Path("/"), library: Any = None
    ) -> HostMeters:
        """What this machine has; `gpus` as NVML listed them (none: NVML is left alone, `why_none` is the reason)."""
        sources, why = find_rapl(root)
        found, missing = list(sources), {SourceKind.CPU: why} if why else {}
        known: dict[str, NvmlGpu] = {}
        library = library or (nvml_library()[0] if gpus else None)
        if library is None:
            return cls(found, {}, missing={**missing, SourceKind.GPU: why_none or "NVML shows no GPU"})
        library.nvmlInit()
        for gpu in gpus:
            known[gpu.uuid] = NvmlGpu(library, gpu.uuid)
            try:
                found.append(known[gpu.uuid].energy_source())
            except AbsentError as error:
                missing[SourceKind.GPU] = f"{error} (NVIDIA GPUs count energy from the Volta generation on)"
        return cls(found, known, missing=missing)

    def close(self) -> None:
        """End sampling."""
        self.sampler.stop()

    def measure_idle(self, wait: Callable[[float], object]) -> None:
        """Take the power of all sources while nothing runs; `wait` sleeps for so many seconds."""
        if not self._series:
            return
        begin = self.clock()
        wait(IDLE_S)
        self.note_idle(Window(begin_ns=begin, end_ns=self.clock()), wait)

    def note_idle(self, window: Window, wait: Callable[[float], object] = time.sleep) -> None:
        """Take a window in which nothing ran."""
        self._await(window.end_ns, wait)
        with self.sampler.lock:
            self._idle = {source.name: idle_power(series, window) for source, series in self._series.items()}

    @property
    def idle_w(self) -> Mapping[str, float | None]:
        """Idle power by source, for the user to see."""
        return {name: idle.watts for name, idle in self._idle.items()}

    def watch(self, gpu: str | None) -> TrialWatch:
        """Begin to follow one trial, on the GPU of that UUID or on none; forgets what was before the last one."""
        now = self.clock()
        with self.sampler.lock:
            for series in self._series.values():
                series.forget(now)
            for snapshots in self._snapshots.values():
                del snapshots[:-1]
            self._watches = [TrialWatch(self, gpu, now)]
            return self._watches[0]

    def metered(self, gpu: str | None, until_ns: int) -> list[Metered]:
        """The sources that matter to a cell, with readings past a moment where there will be any."""
        self._await(until_ns, time.sleep)
        return [
            Metered(source=source, series=series, idle=self._idle.get(source.name, NOT_MEASURED))
            for source, series in self._series.items() if source.kind is SourceKind.CPU or source.name == gpu
        ]

    def snapshots(self, gpu: str) -> list[GpuSnapshot]:
        """What NVML said of a GPU since the watch began (and once before)."""
        with self.sampler.lock:
            return list(self._snapshots.get(gpu, ()))

    def _await(self, until_ns: int, wait: Callable[[float], object]) -> None:
        end = self.clock() + int(PATIENCE_S * 1e9)
        while self.clock() < end:
            with self.sampler.lock:
                if all(series.covers(until_ns) for series in self._series.values()):
                    return
            wait(0.01)

    def _reader(self, source: EnergySource) -> Callable[[int], None]:
        series = self._series[source]

        def read(begin_ns: int) -> None:
            try:
                value = source.read()
            except AbsentError:
                return  # the gap shows in the series
            series.add((begin_ns + self.clock()) // 2, value)

        return read

    def _looker(self, uuid: str) -> Callable[[int], None]:
        def look(begin_ns: int) -> None:
            for watch in self._watches:
                watch.count_processes()
            self._snapshots[uuid].append(self.gpus[uuid].snapshot(begin_ns))
            for watch in self._watches:
                watch.count_processes()  # those that began since, lest they be taken for somebody else's

        return look


class TrialWatch:
    """One trial as the host's meters see it."""

    def __init__(self, meters: HostMeters, gpu: str | None, began_ns: int) -> None:
        self._meters = meters
        self._gpu = gpu
        self._began_ns = began_ns
        self._root: int | None = None
        self._pids: set[int] = set()

    def began(self, pid: int) -> None:
        """The isolation says by which number this machine knows the trial's first process."""
        self._root = pid

    def count_processes(self) -> None:
        """Note which processes the trial has now: one that ended before the last snapshot was still its own."""
        if self._root is not None:
            self._pids |= self._meters.kin(self._root)

    @property
    def wants_processes(self) -> bool:
        """Whether anybody asks for the trial's processes; finding them out may cost a question to the engine."""
        return self._gpu is not None

    @property
    def lost(self) -> str | None:
        """NVML's last word on the GPU, if it was that it is gone."""
        snapshots = self._meters.snapshots(self._gpu) if self._gpu else []
        return snapshots[-1].lost if snapshots else None

    def cell(self, measurement: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the host's meters say of a measured cell: `{"energy", "gpu", "null_reasons"}`."""
        try:
            window, inferences = self._window(measurement)
        except AbsentError as error:
            return {"energy": None, "gpu": None, "null_reasons": {"energy": str(error), "gpu": str(error)}}
        device = SourceKind.GPU if self._gpu else SourceKind.CPU
        meters = self._meters
        metered = meters.metered(self._gpu, window.end_ns)
        found: dict[str, Any] = {"energy": None, "gpu": None}
        if metered:
            with meters.sampler.lock:
                found["energy"], reasons = energy_of(window, inferences, metered, device=device, missing=meters.missing)
            null_reasons = {f"energy.{path}": why for path, why in reasons.items()}
        else:
            null_reasons = {"energy": meters.missing.get(device, "this machine has no energy counter that can be read")}
        if self._gpu is None:
            null_reasons["gpu"] = "the cell did not run on a GPU"
        else:
            found["gpu"], reasons = gpu_state(window, meters.snapshots(self._gpu), self._family())
            null_reasons |= {f"gpu.{path}": why for path, why in reasons.items()}
        return {**found, "null_reasons": null_reasons}

    def disturbance(self) -> dict[str, Any] | None:
        """Foreign processes on the GPU and what slowed it, over the whole trial; None without a GPU."""
        if self._gpu is None:
            return None
        return disturbance([one for one in self._meters.snapshots(self._gpu) if one.at_ns >= self._began_ns], self._family())

    def _family(self) -> Family:
        if self._root is None:
            return Family(unknown="the trial's processes are not among those of this machine (another machine's engine, or "
                                  "this program runs in a container of its own)")
        return Family(pids=frozenset(self._pids))

    def _window(self, measurement: Mapping[str, Any] | None) -> tuple[Window, int]:
        """The timed loop on this machine's clock; what a container says of it is held against what is known here.

        Raises:
            AbsentError: it was not said, or cannot be true.
        """
        said = (measurement or {}).get("window")
        if not isinstance(said, Mapping):
            raise AbsentError("the scenario does not say when its timed loop ran" if measurement else "nothing was measured")
        window = Window(begin_ns=int(said["begin_ns"]), end_ns=int(said["end_ns"]))
        offset = time.time_ns() - time.monotonic_ns()
        if abs(offset - int(said["clock_offset_ns"])) > OFFSET_TOLERANCE_NS:
            raise AbsentError("the trial's clock is not this machine's: an engine on another machine, or the time was set")
        if not self._began_ns <= window.begin_ns < window.end_ns <= self._meters.clock():
            raise AbsentError("the timed loop that the trial reports does not lie within the trial")
        return window, int(said["inferences"])
