"""Does a container engine answer, which one, and what can it enforce?"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig

from orchestrator.doctor.check import Check, Verdict, guarded

_DEFAULT = "unix:///var/run/docker.sock"
_INSTALL = "install Docker Engine (Debian/Ubuntu: apt install docker.io) and start it, or run with --isolation venv"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the engine is expected, and who says so."""

    host: str
    source: str  # "DOCKER_HOST", "context NAME" or "default"
    tls: TLSConfig | None = None

    @property
    def socket(self) -> Path | None:
        """The Unix socket, where the engine is on this machine."""
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None


@dataclass(frozen=True, kw_only=True)
class EngineAnswer:
    """What the engine said, or why there is none; fields that it did not tell are None."""

    available: bool
    reason: str  # one clause: which engine answers where, or why none does
    hint: str = ""
    host: str = _DEFAULT
    source: str = "default"
    local: bool = True  # False: another machine's engine, so its paths are not ours
    product: str | None = None  # "Docker" | "Podman"
    version: str | None = None
    api_version: str | None = None
    rootless: bool | None = None
    storage_driver: str | None = None
    cgroup_version: int | None = None
    cgroup_driver: str | None = None
    data_root: str | None = None
    kernel: str | None = None
    cpus: int | None = None
    memory_mb: int | None = None
    limits: Mapping[str, bool] = field(default_factory=dict)  # memory, swap, cpuset, pids
    runtimes: tuple[str, ...] = ()
    cdi_folders: tuple[str, ...] = ()


def engine_endpoint(environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Like the docker CLI: DOCKER_HOST, then DOCKER_CONTEXT, then the current context of the CLI's config.

    Raises docker.errors.DockerException where the context named does not exist.
    """
    if environ.get("DOCKER_HOST"):
        return Endpoint(host=environ["DOCKER_HOST"], source="DOCKER_HOST")
    name = environ.get("DOCKER_CONTEXT") or None
    context = ContextAPI.get_context(name)
    if context is None:
        raise DockerException(f"Docker context {name or 'in use'} does not exist")
    if context.name == "default" or not context.Host:
        return Endpoint(host=_DEFAULT, source="default")
    return Endpoint(host=str(context.Host), source=f"context {context.name}", tls=context.TLSConfig)


def open_client(endpoint: Endpoint, *, timeout_s: float) -> docker.DockerClient:
    """A client for the endpoint; raises docker.errors.DockerException where nothing answers."""
    seconds = max(1, round(timeout_s))
    if endpoint.source.startswith("context"):
        return docker.DockerClient(base_url=endpoint.host, tls=endpoint.tls or False, timeout=seconds)
    return docker.from_env(timeout=seconds)


def engine_answer(*, timeout_s: float = 3.0) -> EngineAnswer:
    """Ask the engine that the docker CLI would use; never raises, and returns within about `timeout_s`."""
    try:
        endpoint = engine_endpoint()
    except (DockerException, OSError, ValueError) as error:
        return EngineAnswer(available=False, reason=_one_line(error), hint="docker context use default")
    answers: list[EngineAnswer] = []

    def ask() -> tuple[Check, ...]:
        answers.append(_ask(endpoint, timeout_s=timeout_s))
        return ()

    # ssh:// and name look-ups have no time limit of their own
    failed = guarded("engine", ask, deadline_s=timeout_s + 0.5)
    if answers:
        return answers[0]
    return EngineAnswer(
        available=False,
        reason=f"the engine at {endpoint.host}: {failed[0].found}",
        hint=f"start the engine, or correct {endpoint.source}; without one: --isolation venv",
        host=endpoint.host,
        source=endpoint.source,
        local=endpoint.socket is not None,
    )


def _ask(endpoint: Endpoint, *, timeout_s: float) -> EngineAnswer:
    try:
        if endpoint.socket is not None:
            _knock(endpoint.socket, timeout_s=timeout_s)  # docker-py leaks a socket for each failure to connect
        client = open_client(endpoint, timeout_s=timeout_s)
        try:
            info, version = client.info(), client.version()
        finally:
            client.close()
    except (DockerException, OSError, ValueError) as error:
        reason, hint = explain_silence(endpoint, error)
        return EngineAnswer(
            available=False, reason=reason, hint=hint, host=endpoint.host, source=endpoint.source,
            local=endpoint.socket is not None,
        )
    return read_answer(endpoint, info=info, version=version)


def _knock(path: Path, *, timeout_s: float) -> None:
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(timeout_s)
        knocking.connect(str(path))


def read_answer(endpoint: Endpoint, *, info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineAnswer:
    """The answer from what the engine API's /info and /version gave (pure)."""
    components = {str(part.get("Name", "")) for part in version.get("Components") or ()}
    product = "Podman" if any("podman" in name.lower() for name in components) else "Docker"
    options = " ".join(info.get("SecurityOptions") or ())
    cgroup = str(info.get("CgroupVersion") or "")
    number = str(version.get("Version") or info.get("ServerVersion") or "")
    memory = info.get("MemTotal")
    limits = {"memory": "MemoryLimit", "swap": "SwapLimit", "cpuset": "CPUSet", "pids": "PidsLimit"}
    return EngineAnswer(
        available=True,
        reason=f"{product} {number} answers at {endpoint.host} ({endpoint.source})",
        host=endpoint.host,
        source=endpoint.source,
        local=endpoint.socket is not None,
        product=product,
        version=number or None,
        api_version=version.get("ApiVersion"),
        rootless="name=rootless" in options,
        storage_driver=info.get("Driver"),
        cgroup_version=int(cgroup) if cgroup.isdigit() else None,
        cgroup_driver=info.get("CgroupDriver"),
        data_root=info.get("DockerRootDir"),
        kernel=info.get("KernelVersion"),
        cpus=info.get("NCPU"),
        memory_mb=int(memory) >> 20 if memory else None,
        limits={name: bool(info[key]) for name, key in limits.items() if key in info},
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        cdi_folders=tuple(info.get("CDISpecDirs") or ()),
    )


def explain_silence(endpoint: Endpoint, error: Exception) -> tuple[str, str]:
    """Why the endpoint gave no answer, and what to do about it."""
    path = endpoint.socket
    if path is None:
        return f"no engine answers at {endpoint.host}: {_one_line(error)}", f"correct or unset {endpoint.source}"
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return f"no permission to look at {path}", _group_hint()
    except OSError:
        return f"no container engine: {path} does not exist", _other_socket() or _INSTALL
    if not stat.S_ISSOCK(mode):
        return f"{path} is not a socket", f"correct or unset {endpoint.source}"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission to use {path}", _group_hint()
    if "timed out" in str(error).lower():
        return f"the engine at {path} accepts connections but does not answer", "restart it: systemctl restart docker"
    return f"nothing listens at {path}: {_one_line(error)}", "start it: systemctl start docker (or: dockerd &)"


def _group_hint() -> str:
    return "add yourself to the socket's group (usermod -aG docker $USER, then log in again), or use a rootless engine"


def _other_socket() -> str:
    uid = os.getuid()
    for path in (f"/run/user/{uid}/docker.sock", f"/run/user/{uid}/podman/podman.sock", "/run/podman/podman.sock"):
        if Path(path).exists():
            return f"there is one at {path}: export DOCKER_HOST=unix://{path}"
    return ""


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def check_engine(answer: EngineAnswer) -> tuple[Check, ...]:
    """The engine itself: version, root or not, storage, where."""
    if not answer.available:
        return (Check(name="engine", verdict=Verdict.WARN, found=answer.reason, do=answer.hint or _INSTALL),)
    rooted = "rootless" if answer.rootless else "as root"
    found = f"{answer.reason}, {rooted}, storage {answer.storage_driver or 'unknown'}"
    if answer.storage_driver == "vfs":
        todo = "use overlay2: vfs copies every layer, so images take many times their size"
        return (Check(name="engine", verdict=Verdict.WARN, found=found, do=todo),)
    return (Check(name="engine", verdict=Verdict.GOOD, found=found),)
