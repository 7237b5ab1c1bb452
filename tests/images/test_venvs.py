"""Virtual environments of tiny packages, made for real and without network."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BuildError, NoPythonError
from orchestrator.images.interpreters import interpreters
from orchestrator.images.venvs import ensure_venv, ensure_venvs
from orchestrator.model import EnvSpec, IsolationKind
from tests.images.wheelhouse import make_env, make_runner, make_wheel


@pytest.fixture
def env(wheelhouse: Path, tmp_path: Path) -> EnvSpec:
    assert wheelhouse.is_dir()
    return make_env(tmp_path / "env", "tinyengine==1.0\n")


def test_a_venv_holds_the_locked_packages_and_nothing_else(env: EnvSpec, runner_dir: Path, cache: Path) -> None:
    ready = ensure_venv(env, runner_dir=runner_dir)
    code = "import importlib.metadata as m; print(sorted(d.name + d.version for d in m.distributions()))"
    output = subprocess.run([ready.python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "['tinydep0.5', 'tinyengine1.0']"
    assert Path(ready.reference).is_relative_to(cache)
    assert (ready.kind, ready.packages, ready.source) == (IsolationKind.VENV, 2, "built")
    assert ready.size_mb is not None
    assert ready.prepare_s > 0


def test_the_second_time_nothing_is_installed(env: EnvSpec, runner_dir: Path, wheelhouse: Path, cache: Path) -> None:
    first = ensure_venv(env, runner_dir=runner_dir)
    shutil.rmtree(wheelhouse)
    shutil.rmtree(cache / "wheels")
    said: list[str] = []
    assert ensure_venv(env, runner_dir=runner_dir, progress=said.append) == replace(first, source="cached", prepare_s=0.0)
    assert said == []


def test_a_changed_runner_changes_the_digest_and_installs_nothing(env: EnvSpec, runner_dir: Path) -> None:
    first = ensure_venv(env, runner_dir=runner_dir)
    make_runner(runner_dir, "print(2)\n")
    second = ensure_venv(env, runner_dir=runner_dir)
    assert second.digest != first.digest
    assert second.installed == first.installed
    assert (second.reference, second.source) == (first.reference, "cached")


def test_another_version_is_another_venv(env: EnvSpec, runner_dir: Path) -> None:
    first, second = (ensure_venv(e, runner_dir=runner_dir) for e in (env, replace(env, version="2.0")))
    assert first.reference != second.reference
    assert first.digest != second.digest
    assert first.installed != second.installed


def test_the_ruin_of_an_interrupted_installation_is_built_anew(env: EnvSpec, runner_dir: Path) -> None:
    ready = ensure_venv(env, runner_dir=runner_dir)
    folder = Path(ready.reference)
    (folder / "infermatrix.json").unlink()
    (folder / "half").write_text("written when the power failed")
    assert ensure_venv(env, runner_dir=runner_dir).source == "built"
    assert not (folder / "half").exists()


@pytest.mark.usefixtures("wheelhouse")
def test_an_environment_without_a_python_here_says_which_it_knows(
    tmp_path: Path, runner_dir: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.99"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PYENV_ROOT", "/nowhere")
    with pytest.raises(NoPythonError, match=r"tiny needs Python 3\.99, and none is here"):
        ensure_venv(env, runner_dir=runner_dir)


def test_what_is_for_older_pythons_alone_is_installed_for_one(
    wheelhouse: Path, runner_dir: Path, tmp_path: Path
) -> None:
    ages = ("3.6", "3.7", "3.8", "3.9")
    old = next((found for found in interpreters(ages) if found.python in ages), None)
    if old is None:
        pytest.skip("no Python before 3.10 here")
    make_wheel(wheelhouse, "tinyengine", "1.5", python="<3.10")
    env = make_env(tmp_path / "old", "tinyengine==1.5\n", pythons=[old.python])
    ready = ensure_venv(env, python=old.path, runner_dir=runner_dir)
    code = "import tinyengine; print(tinyengine.__version__)"
    assert subprocess.run([ready.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "1.5"


def test_a_named_python_without_a_lock_is_refused(env: EnvSpec, runner_dir: Path) -> None:
    with pytest.raises(BuildError, match="is no CPython"):
        ensure_venv(env, python=Path("/bin/true"), runner_dir=runner_dir)


def test_one_that_fails_leaves_the_others_alone(env: EnvSpec, runner_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    broken = EnvSpec(name="none", folder=tmp_path / "none")
    made = ensure_venvs([broken, env], runner_dir=runner_dir)
    assert isinstance(made[broken], BuildError)
    assert not isinstance(made[env], BuildError)
