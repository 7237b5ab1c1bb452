"""The empty network that a run's trials share: one idle container holds it, and every trial joins it.

An engine that makes a fresh network namespace runs a hook of its own at every start (libnetwork's `setkey`, which
executes the whole daemon again): 0.1 s of each trial on the machines this was measured on. Joining an existing one
costs nothing and is as closed: loopback only, and trials follow one another, so no two are ever in it together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import docker
import docker.errors

from orchestrator.isolation.base import ENGINE_ERRORS

MEMORY = 64 << 20  # Python, asleep
_SLEEP = "import signal; signal.pause()"


class EmptyNetwork:
    """Made when first asked for; must be closed."""

    def __init__(self, api: docker.APIClient, run_id: str, labels: Mapping[str, str]) -> None:
        self._api = api
        self._name = f"infermatrix-{run_id}-network"
        self._labels = dict(labels)
        self._container: str | None = None

    def mode(self, image: str, python: str) -> str:
        """The `network_mode` for a trial; `image` is any image of the engine, `python` an interpreter in it."""
        if self._container is None or not self._runs(self._container):
            self.close()
            self._container = self._start(image, python)
        return f"container:{self._container}"

    def close(self) -> None:
        """Remove the holder."""
        if self._container is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._api.remove_container(self._container, v=True, force=True)
            self._container = None

    def _runs(self, container: str) -> bool:
        try:
            return bool(self._api.inspect_container(container)["State"]["Running"])
        except docker.errors.NotFound:
            return False

    def _start(self, image: str, python: str) -> str:
        host_config = self._api.create_host_config(
            init=True, network_mode="none", read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], pids_limit=16,
            mem_limit=MEMORY, memswap_limit=MEMORY,
        )
        container: str = self._api.create_container(
            image, [python, "-IS", "-c", _SLEEP], name=self._name, user="65532:65532", labels=self._labels,
            host_config=host_config, entrypoint=[],
        )["Id"]
        try:
            self._api.start(container)
        except BaseException:
            self._api.remove_container(container, v=True, force=True)
            raise
        return container
