"""GPUs, their driver, and whether a container can be given one."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.engine import EngineAnswer
from orchestrator.hostfacts import HostFacts

_CDI_FOLDERS = ("etc/cdi", "var/run/cdi")


def check_gpus(facts: HostFacts) -> tuple[Check, ...]:
    """One line a GPU, or why there is none."""
    if not facts.gpus:
        found = facts.gpus_reason or "none"
        if (Path("/proc/driver/nvidia/version")).exists():
            todo = "the NVIDIA driver is loaded: pip install 'infermatrix[gpu]', and see what nvidia-smi says"
            return (Check(name="gpus", verdict=Verdict.WARN, found=found, do=todo),)
        return (Check(name="gpus", verdict=Verdict.NOTE, found=f"none: {found}", do="nothing, for CPU matrices"),)
    return tuple(
        Check(
            name="gpus",
            verdict=Verdict.GOOD,
            found=f"{gpu.index}: {gpu.name}, {gpu.memory_mb} MiB, driver {gpu.driver}, {gpu.uuid}",
        )
        for gpu in facts.gpus
    )


def check_gpu_containers(facts: HostFacts, answer: EngineAnswer, root: Path = Path("/")) -> tuple[Check, ...]:
    """Container toolkit or CDI specification; nothing to say where there is no GPU or no engine."""
    if not facts.gpus or not answer.available:
        return ()
    folders = answer.cdi_folders or tuple(f"/{folder}" for folder in _CDI_FOLDERS)
    specs = [path.name for folder in folders for path in sorted((root / folder.lstrip("/")).glob("*.*"))]
    ways = []
    if "nvidia" in answer.runtimes:
        ways.append("runtime nvidia")
    if shutil.which("nvidia-container-cli") or shutil.which("nvidia-ctk"):
        ways.append("NVIDIA container toolkit")
    ways += [f"CDI {name}" for name in specs]
    if ways:
        return (Check(name="gpu containers", verdict=Verdict.GOOD, found=", ".join(ways)),)
    todo = "install nvidia-container-toolkit, then: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    return (Check(name="gpu containers", verdict=Verdict.WARN, found="no way to give a container a GPU", do=todo),)
