"""The NVIDIA GPUs of this machine, as NVML names them."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as NVML names it; memory in MiB."""

    index: int
    name: str
    uuid: str
    driver: str
    memory_mb: int


def read_gpus(*, deadline_s: float = 10.0) -> tuple[tuple[Gpu, ...], str | None]:
    """All NVIDIA GPUs that NVML shows, or () and the reason; a driver that hangs is left behind at the deadline."""
    answers: list[tuple[tuple[Gpu, ...], str | None]] = []
    thread = threading.Thread(target=lambda: answers.append(_ask_nvml()), name="nvml", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return answers[0] if answers else ((), f"NVML gave no answer within {deadline_s:g} s: is the driver wedged?")


def _ask_nvml() -> tuple[tuple[Gpu, ...], str | None]:
    try:
        import pynvml  # an extra: most machines have no GPU
    except ImportError:
        return (), "nvidia-ml-py is not installed (pip install 'infermatrix[gpu]')"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"NVML does not answer: {error}"
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        found = tuple(
            Gpu(
                index=index,
                name=str(pynvml.nvmlDeviceGetName(handle)),
                uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
                driver=driver,
                memory_mb=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) >> 20,
            )
            for index in range(pynvml.nvmlDeviceGetCount())
            for handle in [pynvml.nvmlDeviceGetHandleByIndex(index)]
        )
    except pynvml.NVMLError as error:
        return (), f"NVML failed while listing GPUs: {error}"
    finally:
        pynvml.nvmlShutdown()
    return found, None if found else "NVML shows no GPU"
