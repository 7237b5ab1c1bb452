"""A real image whose runner misbehaves on request."""

from __future__ import annotations

import io
import shutil
import tarfile
import uuid
from collections.abc import Iterator

import docker
import pytest

from orchestrator.isolation.docker import RUNNER, DockerIsolation
from orchestrator.isolation.local import LocalIsolation
from orchestrator.model import IsolationKind, ReadyEnv
from tests.isolation.boxes import FAULTY, ready


@pytest.fixture(scope="session")
def faulty_image(engine: docker.DockerClient, base_image: str) -> Iterator[str]:
    """An image on the project's own base with the faulty runner where the real one lies."""
    dockerfile = f"FROM {base_image}\nRUN mkdir -p /mx/io /mx/in && chmod 1777 /mx/io\nCOPY runner.py {RUNNER}\n"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (("Dockerfile", dockerfile.encode()), ("runner.py", FAULTY.read_bytes())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    context.seek(0)
    tag = f"infermatrix-test/faulty:{uuid.uuid4().hex[:8]}"
    engine.images.build(fileobj=context, custom_context=True, tag=tag, network_mode="none", rm=True)
    yield tag
    engine.images.remove(tag, force=True)


@pytest.fixture
def in_container(engine: docker.DockerClient, faulty_image: str) -> Iterator[tuple[DockerIsolation, ReadyEnv]]:
    isolation = DockerIsolation(engine, uuid.uuid4().hex[:8], lambda _envs, _say: {})
    yield isolation, ready(IsolationKind.DOCKER, faulty_image, "/usr/bin/python3")
    isolation.close()


@pytest.fixture
def in_process() -> tuple[LocalIsolation, ReadyEnv]:
    python = shutil.which("python3")
    assert python is not None
    return LocalIsolation(IsolationKind.VENV, FAULTY, lambda _envs, _say: {}), ready(IsolationKind.VENV, python, python)
