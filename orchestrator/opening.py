"""An isolation, from its kind: connected, cleaned of what dead runs left, and closed again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker

from orchestrator.doctor.engine import engine_endpoint, open_client
from orchestrator.environments import in_images, in_interpreters, in_venvs
from orchestrator.images.basechoice import BaseChoice
from orchestrator.images.builders import Builder
from orchestrator.isolation.base import Isolation
from orchestrator.isolation.docker import DockerIsolation
from orchestrator.isolation.local import LocalIsolation
from orchestrator.isolation.reap import reap
from orchestrator.model import IsolationKind

RUNNER = Path(__file__).resolve().parents[1] / "runners" / "run.py"


@contextlib.contextmanager
def opened(
    kind: IsolationKind, *, run_id: str, base: str, logs: Path, builder: Builder, say: Callable[[str], None],
    pythons: Mapping[str, Path] | None = None,
) -> Iterator[tuple[Isolation, docker.DockerClient | None]]:
    """The isolation, and the engine's client where there is one. `pythons`: by row, for named interpreters."""
    client: docker.DockerClient | None = None
    isolation: Isolation
    if kind is IsolationKind.DOCKER:
        client = open_client(engine_endpoint(), timeout_s=60.0)
        removed = reap(client)
        if removed:
            say(f"removed what a dead run left: {', '.join(removed.containers + removed.volumes)}")
        isolation = DockerIsolation(client, run_id, in_images(client, BaseChoice.parse(base), logs, builder))
    elif kind is IsolationKind.VENV:
        isolation = LocalIsolation(kind, RUNNER, in_venvs())
    else:
        isolation = LocalIsolation(kind, RUNNER, in_interpreters(pythons or {}))
    try:
        yield isolation, client
    finally:
        isolation.close()
        if client is not None:
            client.close()
