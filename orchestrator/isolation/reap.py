"""Removes what dead runs left on an engine, and nobody else's: by owner label only, never by prune."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import docker
import docker.errors

from orchestrator.isolation.owner import LABEL, Owner


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What was removed: names of containers and volumes."""

    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.volumes)


def reap(client: docker.DockerClient) -> Reaped:
    """Remove containers and volumes whose owner ran on this host and is dead."""
    api = client.api
    containers = []
    for found in api.containers(all=True, filters={"label": LABEL}):
        if _is_orphan(found.get("Labels")):
            with contextlib.suppress(docker.errors.APIError):
                api.remove_container(found["Id"], v=True, force=True)
                containers.append(found["Names"][0].lstrip("/"))
    volumes = []
    for found in api.volumes(filters={"label": LABEL}).get("Volumes") or []:
        if _is_orphan(found.get("Labels")):
            with contextlib.suppress(docker.errors.APIError):
                api.remove_volume(found["Name"], force=True)
                volumes.append(found["Name"])
    return Reaped(containers=tuple(containers), volumes=tuple(volumes))


def _is_orphan(labels: dict[str, str] | None) -> bool:
    owner = Owner.parse((labels or {}).get(LABEL, ""))
    return owner is not None and owner.is_dead()
