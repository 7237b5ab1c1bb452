"""What this project left in an engine, and removing it; images of anyone else are never touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import docker
import docker.errors

from orchestrator.images.render import OWNER


@dataclass(frozen=True, kw_only=True)
class OwnedImage:
    """An image that carries our label."""

    id: str
    tags: tuple[str, ...]  # none: a finished stage that a later build reuses
    env: str | None  # None: a base
    size_mb: float

    @property
    def is_base(self) -> bool:
        """Whether environments are built on it."""
        return self.env is None


def owned_images(client: docker.DockerClient) -> tuple[OwnedImage, ...]:
    """All images labelled as ours: those of environments, their build stages, and bases."""
    images = client.images.list(filters={"label": [f"io.infermatrix.owner={OWNER}"]})
    # Labels are inherited: what someone else built FROM one of ours carries them too. A foreign tag gives it away.
    return tuple(
        OwnedImage(id=str(image.id), tags=tuple(image.tags), env=image.labels.get("io.infermatrix.env"),
                   size_mb=image.attrs["Size"] / 1e6)
        for image in images if all(tag.startswith("infermatrix/") for tag in image.tags)
    )


def remove_images(client: docker.DockerClient, images: Iterable[OwnedImage]) -> tuple[OwnedImage, ...]:
    """Removes those of `owned_images` that the caller chose; returns the ones that went.

    An image that a container still uses, or that another stands on, stays.
    """
    removed = []
    for image in sorted(images, key=lambda i: i.is_base):  # a base cannot go before what stands on it
        try:
            for name in image.tags or (image.id,):
                client.images.remove(name)
        except docker.errors.APIError:
            continue
        removed.append(image)
    return tuple(removed)
