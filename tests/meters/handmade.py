"""NVML's answers for a made-up board, MADE BY HAND after NVML's documentation: nothing here was recorded on hardware."""

from __future__ import annotations

from typing import Any

from orchestrator.meters.recording import BY_HAND, SCHEMA

UUID = "GPU-00000000-1111-2222-3333-444444444444"
BEGIN_S, END_S = 4.0, 7.0  # of the work
IDLE_W, BUSY_W = 60.0, 260.0
STEP_S = 0.1  # the counter's updates
OURS, FOREIGN = 4242, 777
_HANDLE = f"handle {UUID}"


def joules(seconds: float) -> float:
    """What the board had drawn since the recording began."""
    busy = min(max(seconds - BEGIN_S, 0.0), END_S - BEGIN_S)
    return IDLE_W * seconds + (BUSY_W - IDLE_W) * busy


def recording(**changes: Any) -> dict[str, Any]:
    """Ten seconds of a board that idles, works from BEGIN_S to END_S and idles again.

    `changes`: function → answer (`{"value": …}` or `{"error": …}`) that holds all the time; None: the binding lacks it.
    """
    answers: list[list[Any]] = [
        [0.0, "nvmlInit", [], {"value": None}], [0.0, "nvmlShutdown", [], {"value": None}],
        [0.0, "nvmlSystemGetDriverVersion", [], {"value": "550.54.15"}], [0.0, "nvmlDeviceGetCount", [], {"value": 1}],
        [0.0, "nvmlDeviceGetHandleByIndex", [0], {"value": _HANDLE}],
        [0.0, "nvmlDeviceGetHandleByUUID", [UUID], {"value": _HANDLE}],
        [0.0, "nvmlDeviceGetName", [_HANDLE], {"value": "A made-up board"}],
        [0.0, "nvmlDeviceGetUUID", [_HANDLE], {"value": UUID}],
    ]
    for step in range(101):
        at = round(step * STEP_S, 6)
        busy = BEGIN_S <= at < END_S
        now: dict[tuple[str, tuple[Any, ...]], Any] = {
            ("nvmlDeviceGetTotalEnergyConsumption", ()): round(1e6 + joules(at) * 1e3),
            ("nvmlDeviceGetPowerUsage", ()): int(1e3 * (BUSY_W if busy else IDLE_W)),
            ("nvmlDeviceGetTemperature", (0,)): 61 if busy else 35,
            ("nvmlDeviceGetClockInfo", (1,)): 1410 if busy else 210,
            ("nvmlDeviceGetClockInfo", (2,)): 1215,
            ("nvmlDeviceGetPerformanceState", ()): 0,
            ("nvmlDeviceGetCurrentClocksThrottleReasons", ()): 0x4 if busy else 0x1,
            ("nvmlDeviceGetUtilizationRates", ()): {"gpu": 98 if busy else 0, "memory": 40 if busy else 0},
            ("nvmlDeviceGetMemoryInfo", ()): {"total": 80 << 30, "free": 70 << 30, "used": 10 << 30},
            ("nvmlDeviceGetComputeRunningProcesses", ()): [{"pid": OURS, "usedGpuMemory": 3 << 30}] if busy else [],
            ("nvmlDeviceGetGraphicsRunningProcesses", ()): [],
        }
        for (name, arguments), value in now.items():
            answers.append([at, name, [_HANDLE, *arguments], {"value": value}])
    kept = [[at, name, arguments, changes.get(name, answer)] for at, name, arguments, answer in answers
            if changes.get(name, answer) is not None]
    return {"schema": SCHEMA, "source": BY_HAND, "gpu": "A made-up board", "answers": kept}


class Clock:
    """A clock that the test moves, in seconds and as the sampler's nanoseconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def seconds(self) -> float:
        return self.now

    def nanoseconds(self) -> int:
        return round(self.now * 1e9)
