"""Read-only inputs in named volumes: copied in once a run, mounted by every trial that needs them.

An anonymous volume is filled through a container that is created but never started, so it works on any engine,
near or far (harnesses.md §0.2).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

import docker

from orchestrator.isolation.archive import folder_stream
from orchestrator.isolation.base import ENGINE_ERRORS

INSIDE = "/mx/stage"


class Staging:
    """The volumes of one run on one engine."""

    def __init__(self, api: docker.APIClient, run_id: str, labels: Mapping[str, str]) -> None:
        self._api = api
        self._run_id = run_id
        self._labels = dict(labels)
        self._volumes: dict[Path, str] = {}

    def volume(self, folder: Path, image: str) -> str:
        """The volume that holds a copy of `folder`; `image` is any image of the engine."""
        if folder not in self._volumes:
            self._volumes[folder] = self._fill(folder, image)
        return self._volumes[folder]

    def remove_all(self) -> None:
        """Remove every volume of this run."""
        for name in self._volumes.values():
            with contextlib.suppress(*ENGINE_ERRORS):
                self._api.remove_volume(name, force=True)
        self._volumes.clear()

    def _fill(self, folder: Path, image: str) -> str:
        name = f"infermatrix-{self._run_id}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
        self._api.create_volume(name, labels=self._labels)
        container = self._api.create_container(
            image, ["true"], name=f"{name}-fill", labels=self._labels, network_disabled=True,
            host_config=self._api.create_host_config(binds=[f"{name}:{INSIDE}"], network_mode="none"),
        )["Id"]
        try:
            self._api.put_archive(container, INSIDE, folder_stream(folder))
        finally:
            self._api.remove_container(container, force=True)
        return name
