"""Containers that are over: removed while the next one is created, and gone before it starts."""

from __future__ import annotations

import contextlib
import threading

import docker
import docker.errors

from orchestrator.isolation.base import ENGINE_ERRORS


class Leftovers:
    """What is still to be removed. A trial must not run beside a removal, hence `settle` right before its start."""

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api
        self._left: set[str] = set()
        self._worker: threading.Thread | None = None

    def add(self, container: str) -> None:
        """Begin to remove a container; comes back at once. What an engine out of reach keeps stays on the list."""
        self._join()
        self._left.add(container)
        self._worker = threading.Thread(target=self._try, name=f"remove-{container[:12]}")
        self._worker.start()

    def settle(self) -> None:
        """Until nothing is left. Raises the engine's error where it cannot remove something."""
        self._join()
        self._remove()

    def _join(self) -> None:
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def _try(self) -> None:
        with contextlib.suppress(*ENGINE_ERRORS):
            self._remove()

    def _remove(self) -> None:
        for container in sorted(self._left):
            with contextlib.suppress(docker.errors.NotFound):
                self._api.remove_container(container, v=True, force=True)
            self._left.discard(container)
