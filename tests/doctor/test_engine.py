from __future__ import annotations

import gc
import hashlib
import json
import socket
import socketserver
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.doctor.check import Verdict
from orchestrator.doctor.engine import Endpoint, EngineAnswer, check_engine, engine_answer, engine_endpoint, read_answer

LOCAL = Endpoint(host="unix:///var/run/docker.sock", source="default")
INFO: dict[str, Any] = {
    "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd", "DockerRootDir": "/var/lib/docker",
    "KernelVersion": "6.1.0", "NCPU": 8, "MemTotal": 8 << 30, "MemoryLimit": True, "SwapLimit": False, "CPUSet": True,
    "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"], "Runtimes": {"runc": {}, "nvidia": {}},
    "CDISpecDirs": ["/etc/cdi"],
}  # fmt: skip
VERSION: dict[str, Any] = {"Version": "28.2.2", "ApiVersion": "1.50", "Components": [{"Name": "Engine"}]}


class Nonsense(socketserver.StreamRequestHandler):
    """Speaks HTTP, but is no Docker engine."""

    def handle(self) -> None:
        if self.rfile.readline():
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without Docker settings."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")


def test_what_the_engine_says_is_taken_over() -> None:
    answer = read_answer(LOCAL, info=INFO, version=VERSION)
    assert answer.available
    assert (answer.product, answer.version, answer.rootless, answer.cgroup_version) == ("Docker", "28.2.2", True, 2)
    assert answer.limits == {"memory": True, "swap": False, "cpuset": True}
    assert (answer.memory_mb, answer.runtimes, answer.cdi_folders) == (8192, ("nvidia", "runc"), ("/etc/cdi",))


def test_podman_and_an_engine_that_says_little_are_understood() -> None:
    podman = read_answer(LOCAL, info={}, version={"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]})
    assert (podman.product, podman.rootless, podman.cgroup_version, podman.memory_mb) == ("Podman", False, None, None)
    assert podman.limits == {}


def test_another_machines_engine_is_not_local() -> None:
    assert not read_answer(Endpoint(host="tcp://gpu1:2376", source="DOCKER_HOST"), info=INFO, version=VERSION).local


def test_no_socket_says_so_and_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, home / "none.sock")
    answer = engine_answer(timeout_s=3)
    assert not answer.available
    assert "does not exist" in answer.reason
    (check,) = check_engine(answer)
    assert check.verdict is Verdict.WARN
    assert "venv" in check.do or "DOCKER_HOST" in check.do


def test_a_plain_file_is_not_taken_for_an_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    use(monkeypatch, home / "file")
    assert "is not a socket" in engine_answer(timeout_s=3).reason


def test_a_socket_without_a_listener_asks_for_a_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home / "s"))
    use(monkeypatch, home / "s")
    answer = engine_answer(timeout_s=3)
    assert "nothing listens" in answer.reason
    assert "start it" in answer.hint


def test_an_engine_that_never_answers_does_not_hold_the_caller(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(home / "s"))
        mute.listen(8)
        use(monkeypatch, home / "s")
        begin = time.monotonic()
        answer = engine_answer(timeout_s=1)
        assert time.monotonic() - begin < 20
    assert not answer.available
    assert "does not answer" in answer.reason or "no answer within" in answer.reason


# docker-py does not close its connection when its constructor raises
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_an_answer_that_is_no_docker_is_not_available(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.UnixStreamServer(str(home / "s"), Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        use(monkeypatch, home / "s")
        answer = engine_answer(timeout_s=3)
        server.shutdown()
        thread.join()
    assert not answer.available
    gc.collect()


@pytest.mark.usefixtures("home")
def test_a_host_that_is_no_address_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "gopher://nowhere")
    answer = engine_answer(timeout_s=3)
    assert not answer.available
    assert "DOCKER_HOST" in answer.hint


def write_context(home: Path, name: str, host: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_the_current_context_is_followed(home: Path) -> None:
    write_context(home, "desk", f"unix://{home}/desk.sock")
    endpoint = engine_endpoint()
    assert (endpoint.host, endpoint.source) == (f"unix://{home}/desk.sock", "context desk")
    assert str(home / "desk.sock") in engine_answer(timeout_s=3).reason


def test_docker_host_wins_over_a_context(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_context(home, "desk", "unix:///nowhere.sock")
    use(monkeypatch, home / "mine.sock")
    assert engine_endpoint().source == "DOCKER_HOST"


def test_without_settings_the_default_socket_is_asked(home: Path) -> None:
    assert not (home / ".docker").exists()
    assert engine_endpoint() == LOCAL


def test_a_missing_context_is_a_finding(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.is_dir()
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    answer = engine_answer(timeout_s=3)
    assert not answer.available
    assert "gone" in answer.reason


def test_a_storage_driver_that_copies_is_warned_of() -> None:
    answer = read_answer(LOCAL, info={**INFO, "Driver": "vfs"}, version=VERSION)
    (check,) = check_engine(answer)
    assert check.verdict is Verdict.WARN
    assert "overlay2" in check.do


@pytest.mark.engine
@pytest.mark.usefixtures("engine")
def test_the_engine_here_answers_with_everything_a_run_needs() -> None:
    answer: EngineAnswer = engine_answer(timeout_s=10)
    assert answer.available, answer.reason
    assert answer.version
    assert answer.storage_driver
    assert answer.cgroup_version in (1, 2)
    assert (answer.cpus or 0) >= 1
    (check,) = check_engine(answer)
    assert answer.version in check.found
