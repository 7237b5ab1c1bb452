"""Packages that exist as source only: locked and fetched without running them, built inside the environment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.locks import find_lock, make_lock, read_lock
from orchestrator.images.venvs import ensure_venv
from orchestrator.images.wheels import fetch
from orchestrator.model import EnvSpec
from tests.images.wheelhouse import THIS_PYTHON, add_pip, make_env, make_sdist, make_wheel


@dataclass(frozen=True, kw_only=True)
class Old:
    """An environment with tinyold, which has no wheel."""

    env: EnvSpec
    archive: Path
    ran: Path  # a line for each time that the package's code was run


@pytest.fixture
def old(wheelhouse: Path, tmp_path: Path) -> Old:
    archive = make_sdist(wheelhouse, "tinyold", "1.2", ran=tmp_path / "ran")
    pip = add_pip(wheelhouse)
    env = make_env(tmp_path / "env", f"tinyold==1.2  # sdist\ntinydep\npip=={pip}\n", version_of="tinyold")
    return Old(env=env, archive=archive, ran=tmp_path / "ran")


def test_a_source_is_locked_by_its_own_hash_and_fetched_without_being_run(old: Old, cache: Path) -> None:
    lock = read_lock(find_lock(old.env, python=THIS_PYTHON))
    pins = {pin.name: pin for pin in lock.pins}
    assert {name for name, pin in pins.items() if pin.sdist} == {"tinyold"}
    digest = hashlib.sha256(old.archive.read_bytes()).hexdigest()
    assert (pins["tinyold"].version, pins["tinyold"].sha256) == ("1.2", (digest,))
    files = fetch(lock)
    assert files[-1] == cache / "wheels" / digest / "tinyold-1.2.tar.gz"
    assert not old.ran.exists()


def test_a_wheel_of_the_same_version_is_not_taken_instead(old: Old, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "tinyold", "1.2")
    before = find_lock(old.env, python=THIS_PYTHON).read_bytes()
    assert make_lock(old.env, python=THIS_PYTHON).read_bytes() == before


def test_the_second_fetch_asks_nobody(old: Old, wheelhouse: Path) -> None:
    lock = read_lock(find_lock(old.env, python=THIS_PYTHON))
    first = fetch(lock)
    shutil.rmtree(wheelhouse)
    assert fetch(lock) == first


def test_a_source_that_is_not_the_locked_one_is_refused(old: Old, wheelhouse: Path, tmp_path: Path) -> None:
    lock = read_lock(find_lock(old.env, python=THIS_PYTHON))
    make_sdist(wheelhouse, "tinyold", "1.2", ran=tmp_path / "elsewhere")
    with pytest.raises(BuildError, match=r"nothing with the locked SHA-256 for tinyold==1\.2"):
        fetch(lock)


def test_it_is_built_in_the_environment_with_what_the_lock_holds(old: Old, runner_dir: Path) -> None:
    said: list[str] = []
    ready = ensure_venv(old.env, runner_dir=runner_dir, progress=said.append)
    code = "import tinyold; print(tinyold.PREFIX, tinyold.DEP)"
    output = subprocess.run([ready.python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == [ready.reference, "0.5"]
    assert set(old.ran.read_text().split()) == {ready.reference}
    assert ready.packages == 3
    assert "tiny: building from source: tinyold" in said


def test_without_a_pip_of_its_own_nothing_could_build_it(wheelhouse: Path, tmp_path: Path) -> None:
    make_sdist(wheelhouse, "tinyold", "1.2", ran=tmp_path / "ran")
    with pytest.raises(BuildError, match=r"tiny holds tinyold==1\.2 as source, and no pip"):
        make_env(tmp_path / "env", "tinyold==1.2  # sdist\ntinydep\n", version_of="tinyold")


def test_a_source_that_no_index_has_is_said_in_pips_words(wheelhouse: Path, tmp_path: Path) -> None:
    pip = add_pip(wheelhouse)
    with pytest.raises(BuildError, match=r"fetch the source of tinyengine==1\.0: No source distribution found"):
        make_env(tmp_path / "env", f"tinyengine==1.0  # sdist\npip=={pip}\n")
