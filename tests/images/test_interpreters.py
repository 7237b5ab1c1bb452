"""Asking a Python that the user named what it holds."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.interpreters import check_interpreter, interpreters
from orchestrator.images.venvs import ensure_venv
from orchestrator.model import EnvSpec, IsolationKind
from tests.images.wheelhouse import make_env, make_runner

HERE = Path(sys.executable)


@pytest.fixture
def env(tmp_path: Path) -> EnvSpec:
    return EnvSpec(name="engine", folder=tmp_path, version_of="psutil")


def test_a_python_that_holds_the_backend_is_taken_as_it_is(env: EnvSpec, runner_dir: Path) -> None:
    ready = check_interpreter(HERE, env, runner_dir=runner_dir)
    assert (ready.kind, ready.python, ready.source) == (IsolationKind.INTERPRETER, str(HERE), "given")
    assert ready.size_mb is None
    assert ready.null_reasons["size_mb"]
    assert ready.packages is not None
    assert ready.packages > 10


def test_the_digest_follows_the_runner(env: EnvSpec, runner_dir: Path) -> None:
    first = check_interpreter(HERE, env, runner_dir=runner_dir)
    assert check_interpreter(HERE, env, runner_dir=runner_dir).digest == first.digest
    make_runner(runner_dir, "print(2)\n")
    assert check_interpreter(HERE, env, runner_dir=runner_dir).digest != first.digest


def test_a_missing_backend_is_named_with_what_to_do(env: EnvSpec, runner_dir: Path) -> None:
    with pytest.raises(BuildError, match="not-there-at-all is not installed") as caught:
        check_interpreter(HERE, replace(env, version_of="not-there-at-all"), runner_dir=runner_dir)
    assert caught.value.hint == f"Run: {HERE} -m pip install not-there-at-all"


def test_another_version_than_asked_for_is_refused(env: EnvSpec, runner_dir: Path) -> None:
    with pytest.raises(BuildError, match=r"but 0\.0\.1 was asked for"):
        check_interpreter(HERE, replace(env, version="0.0.1"), runner_dir=runner_dir)


@pytest.mark.parametrize("path", ["/bin/true", "/nowhere/python", "/bin/cat"])
def test_what_is_no_python_is_refused(env: EnvSpec, runner_dir: Path, path: str) -> None:
    with pytest.raises(BuildError, match=path):
        check_interpreter(Path(path), env, runner_dir=runner_dir)


def test_a_package_in_the_working_folder_does_not_count(
    env: EnvSpec, runner_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = tmp_path / "not_there_at_all-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: not-there-at-all\nVersion: 1.0\n")
    (tmp_path / "not_there_at_all.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildError, match="not-there-at-all is not installed"):
        check_interpreter(HERE, replace(env, version_of="not-there-at-all"), runner_dir=runner_dir)


@pytest.mark.usefixtures("wheelhouse")
def test_a_python_without_numpy_is_refused(tmp_path: Path, runner_dir: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n")
    bare = ensure_venv(env, runner_dir=runner_dir)
    with pytest.raises(BuildError, match="numpy is not installed"):
        check_interpreter(Path(bare.python), env, runner_dir=runner_dir)


@pytest.mark.usefixtures("wheelhouse")
def test_a_backend_that_fails_to_import_is_refused(tmp_path: Path, runner_dir: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n")
    ready = ensure_venv(env, runner_dir=runner_dir)
    site = next(Path(ready.reference).glob("lib/python3*/site-packages"))
    (site / "numpy").mkdir()
    (site / "numpy" / "__init__.py").write_text("")
    info = site / "numpy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    assert check_interpreter(Path(ready.python), env, runner_dir=runner_dir).packages == 3
    (site / "tinyengine" / "__init__.py").write_text("raise OSError('libengine.so.1: cannot open')\n")
    with pytest.raises(BuildError, match=r"tinyengine 1\.0 fails to import \(OSError: libengine\.so\.1"):
        check_interpreter(Path(ready.python), env, runner_dir=runner_dir)


def test_this_python_is_the_first_that_is_found() -> None:
    found = next(interpreters())
    assert found.path == HERE
    assert found.python == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert found.machine == platform.machine()


def test_an_older_python_is_looked_for_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "python3.6"
    binary.write_text("#!/bin/sh\necho '[\"3.6\", \"x86_64\", \"CPython\"]'\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", "/nowhere")
    assert binary not in [found.path for found in interpreters()]
    assert binary in [found.path for found in interpreters(["3.6"])]
