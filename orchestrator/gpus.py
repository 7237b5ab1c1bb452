"""The NVIDIA GPUs of this machine, as NVML names them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as NVML names it; memory in MiB."""

    index: int
    name: str
    uuid: str
    driver: str
    memory_mb: int


def read_gpus(*, deadline_s: float = 10.0, library: Any = None) -> tuple[tuple[Gpu, ...], str | None]:
    """All NVIDIA GPUs that NVML shows, or () and the reason; a driver that hangs is left behind at the deadline.

    `library` answers in the place of pynvml: a recording.
    """
    answers: list[tuple[tuple[Gpu, ...], str | None]] = []
    thread = threading.Thread(target=lambda: answers.append(_ask_nvml(library)), name="nvml", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return answers[0] if answers else ((), f"NVML gave no answer within {deadline_s:g} s: is the driver wedged?")


def nvml_library() -> tuple[Any, str | None]:
    """The module that speaks to NVML, or None and why not."""
    try:
        import pynvml  # an extra: most machines have no GPU
    except ImportError:
        return None, "nvidia-ml-py is not installed (pip install 'infermatrix[gpu]')"
    return pynvml, None


def gpu_of(device: str, gpus: Sequence[Gpu]) -> Gpu | None:
    """The GPU that a cell's device means: `cuda` (the first), `cuda:1`, `cuda:GPU-<uuid>` (or how that begins).

    None for a CPU and where there is no such GPU, or more than one.
    """
    kind, _, which = device.partition(":")
    if kind != CUDA:
        return None
    if which.startswith("GPU-"):
        found = [gpu for gpu in gpus if gpu.uuid.startswith(which)]
    else:
        found = [gpu for gpu in gpus if str(gpu.index) == (which or "0")]
    return found[0] if len(found) == 1 else None


def lacking(device: str, gpus: Sequence[Gpu], why: str | None) -> str | None:
    """Why a cell's device cannot be had on this machine, in one sentence; None where it can. `why`: there is no GPU."""
    if not is_gpu(device) or gpu_of(device, gpus) is not None:
        return None
    found = ", ".join(f"{one.index}: {one.name}" for one in gpus) or why or "none"
    return f"no GPU `{device}` was found on this machine ({found})"


def is_gpu(device: str) -> bool:
    """Whether a cell's device is a GPU."""
    return device.partition(":")[0] == CUDA


def _ask_nvml(library: Any = None) -> tuple[tuple[Gpu, ...], str | None]:
    pynvml, why = (library, None) if library is not None else nvml_library()
    if pynvml is None:
        return (), why
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
