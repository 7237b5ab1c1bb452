"""Places on an engine that containers write to and that outlive them: named volumes, one for each kept cache.

They carry a label of their own instead of an owner's, so that no run takes them for a dead run's leftovers;
`infermatrix clean --cache` removes them.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import docker
import docker.errors

from orchestrator.isolation.base import ENGINE_ERRORS

KEPT_LABEL = "infermatrix.kept"
MOUNT = "/mx/kept"
INSIDE = f"{MOUNT}/cache"  # below it, for who owns a volume's own top folder is the engine's affair


class Keeping:
    """The kept volumes of one engine; `user`: the number of the user that trials run as."""

    def __init__(self, api: docker.APIClient, labels: Mapping[str, str], user: int) -> None:
        self._api = api
        self._labels = dict(labels)  # of the container that fills a volume
        self._user = user

    def make(self, folder: Path, image: str) -> None:
        """An empty place of that name, whatever was there before."""
        name = volume_of(folder)
        with contextlib.suppress(docker.errors.NotFound):
            self._api.remove_volume(name, force=True)
        self._api.create_volume(name, labels={KEPT_LABEL: "1"})
        container = self._api.create_container(
            image, ["true"], name=f"{name}-fill", labels=self._labels, network_disabled=True,
            host_config=self._api.create_host_config(binds=[f"{name}:{MOUNT}"], network_mode="none"),
        )["Id"]
        try:
            self._api.put_archive(container, MOUNT, _own_folder(Path(INSIDE).name, self._user))
        finally:
            self._api.remove_container(container, force=True)

    def has(self, folder: Path) -> bool:
        """Whether the engine has that place; False where it cannot be asked."""
        try:
            self._api.inspect_volume(volume_of(folder))
        except ENGINE_ERRORS:
            return False
        return True


def volume_of(folder: Path) -> str:
    """The volume's name; the folder's own is a key already."""
    return f"infermatrix-kept-{folder.name}"


def remove_kept(client: docker.DockerClient) -> list[str]:
    """Remove every kept volume of the engine that nothing uses now; returns their names."""
    removed = []
    for found in client.api.volumes(filters={"label": KEPT_LABEL}).get("Volumes") or []:
        with contextlib.suppress(docker.errors.APIError):
            client.api.remove_volume(found["Name"])
            removed.append(found["Name"])
    return removed


def _own_folder(name: str, user: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o700, user, user
        tar.addfile(info)
    return sink.getvalue()
