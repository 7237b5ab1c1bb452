"""The two ways to have an engine build a context: its API's classic builder, or BuildKit through a docker command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import IO

import docker
import docker.errors

from orchestrator.errors import BuildError
from orchestrator.images.cache import cache_dir
from orchestrator.images.context import write_folder, write_tar

_PROBE = b'FROM scratch\nLABEL io.infermatrix.owner="infermatrix" io.infermatrix.stage="probe"\n'


class Builder(str, Enum):
    """Which builder to use."""

    CLASSIC = "classic"
    BUILDKIT = "buildkit"

    @classmethod
    def chosen(cls, value: str | None = None) -> Builder:
        """From an option, else from `$INFERMATRIX_BUILDER`, else the classic one: every engine has it."""
        text = value or os.environ.get("INFERMATRIX_BUILDER") or cls.CLASSIC.value
        try:
            return cls(text)
        except ValueError as error:
            raise BuildError(f"there is no builder called {text!r}",
                             hint=f"One of: {', '.join(b.value for b in cls)}.") from error


def build_classic(client: docker.DockerClient, files: Mapping[str, bytes | Path], *, tag: str, log: IO[str]) -> None:
    """Builds through the engine's API, without network. Raises BuildError with the builder's own error."""
    folder = cache_dir() / "contexts"  # not the system's temporary folder: that may be memory
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        write_tar(files, stream)
        stream.seek(0)
        for event in client.api.build(fileobj=stream, custom_context=True, tag=tag, network_mode="none", rm=True,
                                      forcerm=True, decode=True):
            text = event.get("stream") or event.get("error") or ""
            log.write(text if text.endswith("\n") else text + "\n" if text.strip() else "")
            log.flush()
            if "error" in event:
                raise BuildError(str(event["error"]).strip())


def build_buildkit(command: Path, files: Mapping[str, bytes | Path], *, tag: str, log: IO[str]) -> None:
    """Builds with BuildKit through a docker command that can, without network. Raises BuildError."""
    parent = cache_dir() / "contexts"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = write_folder(files, Path(name))
        done = subprocess.run(
            [str(command), "build", "--network=none", "--progress=plain", "--tag", tag, str(folder)],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=_buildkit_environment(), check=False,
        )
    if done.returncode != 0:
        raise BuildError(f"docker build ended with {done.returncode}")


def find_buildkit() -> Path | None:
    """A docker command on PATH that can really build with BuildKit, tried with an empty image; None where none can.

    Not every one can: a new client without its buildx plugin may come first on PATH.
    """
    for command in _docker_commands():
        try:
            done = subprocess.run([str(command), "build", "--quiet", "-"], input=_PROBE, capture_output=True,
                                  env=_buildkit_environment(), timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            image = done.stdout.decode().strip()
            subprocess.run([str(command), "image", "rm", image], capture_output=True, check=False)
            return command
    return None


def _docker_commands() -> Iterator[Path]:
    seen = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("docker", path=folder or ".")
        if found and Path(found).resolve() not in seen:
            seen.add(Path(found).resolve())
            yield Path(found)


def _buildkit_environment() -> dict[str, str]:
    return {**os.environ, "DOCKER_BUILDKIT": "1"}
