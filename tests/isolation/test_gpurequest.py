"""Which request gives a container one GPU, by what engines say of themselves.

The first answer is of an engine here, without GPUs; the others were put together after reports of engines with GPUs, whose
fields are those of the engine's API. No GPU was given to any container by them.
"""

from __future__ import annotations

from typing import Any

import docker.types
import pytest

from orchestrator.isolation.gpurequest import gpu_request

UUID = "GPU-8836a272-ca08-9629-24b6-54ca9b98cd30"
OTHER = "GPU-00000000-ca08-9629-24b6-54ca9b98cd30"
OLD: dict[str, Any] = {"ServerVersion": "20.10.24", "Runtimes": {"runc": {"path": "runc"}}, "DefaultRuntime": "runc"}
WITH_HOOK = {**OLD, "ServerVersion": "27.5.1", "CDISpecDirs": [],
             "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}}}
CDI_BUT_UNLISTED = {**OLD, "ServerVersion": "25.0.3", "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]}
LISTED = {**CDI_BUT_UNLISTED, "ServerVersion": "29.4.0", "DiscoveredDevices": [
    {"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in ("0", "1", UUID, OTHER, "all")]}
LISTED_BY_NUMBER = {**LISTED, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}
BY_HOOK = {"Driver": "", "Count": 0, "DeviceIDs": [UUID], "Capabilities": [["gpu", "compute", "utility"]], "Options": {}}
BY_CDI = {"Driver": "cdi", "Count": 0, "DeviceIDs": [f"nvidia.com/gpu={UUID}"], "Capabilities": [], "Options": {}}


@pytest.mark.parametrize(("info", "asked", "visible"), [
    (OLD, BY_HOOK, UUID),  # and the engine says what it lacks
    (WITH_HOOK, BY_HOOK, UUID),
    ({**WITH_HOOK, "CDISpecDirs": ["/etc/cdi"]}, BY_HOOK, UUID),  # both ways, and no list that has the GPU: the one that is sure
    (CDI_BUT_UNLISTED, BY_CDI, "void"),
    (LISTED, BY_CDI, "void"),
    ({**LISTED, "Runtimes": WITH_HOOK["Runtimes"]}, BY_CDI, "void"),
    (LISTED_BY_NUMBER, BY_HOOK, UUID),  # never by number: numbers change with a reboot
])
def test_a_gpu_is_asked_for_by_uuid_in_the_way_that_the_engine_has(
        info: dict[str, Any], asked: dict[str, Any], visible: str) -> None:
    found = gpu_request(UUID, info)
    assert [dict(request) for request in found.devices] == [asked]
    assert found.environment == {"NVIDIA_VISIBLE_DEVICES": visible}
    assert all(isinstance(request, docker.types.DeviceRequest) for request in found.devices)


def test_a_cell_of_the_cpu_asks_for_nothing() -> None:
    found = gpu_request(None, LISTED)
    assert (found.devices, dict(found.environment)) == ((), {})
