"""One measuring run per host: a second one queues instead of disturbing the first.

Two locks, because a host can be reached two ways: a file (freed by the kernel with its process), and on an engine
a container with one fixed name, which is an atomic mutex for all who share that engine (engines.md, "Host lock").
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import filelock

from orchestrator.isolation.base import ENGINE_ERRORS, Stop
from orchestrator.isolation.holder import MAX_TEXT, Holder
from orchestrator.isolation.owner import LABEL, Owner

CONTAINER = "infermatrix-host-lock"
HOLDER_LABEL = "io.infermatrix.holder"
RETRY_S = 1.0
TELL_EVERY_S = 30.0


class StoppedWaitingError(Exception):
    """A stop was requested while the run queued."""


@contextlib.contextmanager
def file_lock(say: Callable[[str], None], stop: Stop, folder: Path, path: Path | None = None) -> Iterator[None]:
    """Hold this machine's lock file for the run in `folder`; queue, saying who holds it, while another run does.

    Raises:
        StoppedWaitingError: `stop` was requested first.
    """
    path = path or Path(tempfile.gettempdir()) / "infermatrix-host.lock"
    lock = filelock.FileLock(path, mode=0o666)
    _wait(lambda: _acquired(lock), say, stop, lambda: f"another run measures on this host{_holder_in(path)} (lock {path})")
    try:
        with contextlib.suppress(PermissionError):
            os.chmod(path, 0o666)  # noqa: PTH101 - whoever comes next may be another user, whatever the umask was
        _write(path, Holder.this_process(folder).to_text())
        yield
    finally:
        _write(path, "")
        lock.release()


def _write(path: Path, text: str) -> None:
    """Into the file that is locked; who holds the lock is a courtesy, no reason to fail."""
    with contextlib.suppress(OSError), path.open("r+") as file:  # never created: kernels refuse that in another user's place
        file.truncate()
        file.write(text)


def _holder_in(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _told(file.read(MAX_TEXT))
    except OSError:
        return ""


def _told(text: str) -> str:
    """Nothing where the text names nobody, or somebody who is gone: then it is left over from an earlier holder."""
    holder = Holder.parse(text)
    return f": {holder.describe()}" if holder is not None and not holder.owner.is_dead() else ""


def _acquired(lock: filelock.BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    return True


@contextlib.contextmanager
def engine_lock(
    client: docker.DockerClient, image: str, say: Callable[[str], None], stop: Stop, folder: Path
) -> Iterator[None]:
    """Hold the engine's lock container for the run in `folder`; a holder that is certainly dead is reaped first.

    Raises:
        StoppedWaitingError: `stop` was requested first.
    """
    held: list[str] = []

    def attempt() -> bool:
        identity = _create(client, image, Holder.this_process(folder))
        held.extend([identity] if identity else [])
        return identity is not None

    _wait(attempt, say, stop, lambda: f"another run measures on this engine{_holder_on(client)} (container {CONTAINER})")
    try:
        yield
    finally:
        with contextlib.suppress(*ENGINE_ERRORS):
            client.api.remove_container(held[0], force=True)


def _create(client: docker.DockerClient, image: str, holder: Holder) -> str | None:
    labels = {LABEL: str(holder.owner), HOLDER_LABEL: holder.to_text()}
    try:
        created = client.api.create_container(image, ["true"], name=CONTAINER, labels=labels, network_disabled=True)
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        _reap_stale(client)
        return None
    return str(created["Id"])


def _reap_stale(client: docker.DockerClient) -> None:
    with contextlib.suppress(docker.errors.APIError):
        state = client.api.inspect_container(CONTAINER)
        owner = Owner.parse((state["Config"].get("Labels") or {}).get(LABEL, ""))
        if owner is not None and owner.is_dead():
            # By id: a new holder may have taken the name since we looked.
            client.api.remove_container(state["Id"], force=True)


def _holder_on(client: docker.DockerClient) -> str:
    try:
        labels = client.api.inspect_container(CONTAINER)["Config"].get("Labels") or {}
    except ENGINE_ERRORS:
        return ""
    return _told(str(labels.get(HOLDER_LABEL, "")))


def _wait(attempt: Callable[[], bool], say: Callable[[str], None], stop: Stop, why: Callable[[], str]) -> None:
    begin = time.monotonic()
    told = -TELL_EVERY_S
    while not attempt():
        waited = time.monotonic() - begin
        if waited - told >= TELL_EVERY_S:
            say(f"waiting: {why()} ({waited:.0f} s so far)")
            told = waited
        if stop.event.wait(RETRY_S):
            raise StoppedWaitingError(why())
