"""How a container is given one GPU: by its CDI name where the engine lists it, else by UUID through NVIDIA's own hook. Pure.

Not verified on hardware: the answers it is tested with are an engine's without GPUs, and ones put together after what
engines with GPUs were reported to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import docker.types

CDI_KIND = "nvidia.com/gpu"
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class GpuRequest:
    """What `create` is asked for, and what the container is told."""

    devices: tuple[docker.types.DeviceRequest, ...] = ()
    # Images of CUDA say `all` in this variable, which NVIDIA's runtime obeys where it is the engine's default.
    environment: Mapping[str, str] = field(default_factory=dict)


def gpu_request(uuid: str | None, info: Mapping[str, Any]) -> GpuRequest:
    """For one GPU; nothing for none. `info` is what the engine says of itself (`docker info`).

    By UUID in any case: indices change with a reboot, and a container numbers from 0 anyway.
    """
    if uuid is None:
        return GpuRequest()
    name = f"{CDI_KIND}={uuid}"
    if _takes_cdi(name, info):
        devices = (docker.types.DeviceRequest(driver="cdi", device_ids=[name]),)
        return GpuRequest(devices=devices, environment={_VISIBLE: "void"})  # CDI gives the device; nothing else shall
    # The engine's hook answers to the capability `gpu`; `compute` and `utility` are CUDA and NVML.
    devices = (docker.types.DeviceRequest(device_ids=[uuid], capabilities=[["gpu", "compute", "utility"]]),)
    return GpuRequest(devices=devices, environment={_VISIBLE: uuid})


def _takes_cdi(name: str, info: Mapping[str, Any]) -> bool:
    """Whether the engine lists the device (28.2 and newer), or looks for CDI files and has no hook to ask (25 to 28.1)."""
    listed = info.get("DiscoveredDevices")
    if listed:
        return any(one.get("Source") == "cdi" and one.get("ID") == name for one in listed)
    return bool(info.get("CDISpecDirs")) and "nvidia" not in (info.get("Runtimes") or {})
