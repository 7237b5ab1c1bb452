"""Resolving and finding locks, with pip itself and without network; and the locks of this repository."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.lockfile import lock_name, parse_lock_name
from orchestrator.images.locks import find_lock, locked_pythons, make_lock, read_lock
from orchestrator.model import EnvSpec
from tests.images.wheelhouse import make_env

IMAGES = Path(__file__).resolve().parents[2] / "images"
REPOSITORY_LOCKS = sorted(IMAGES.rglob("lock-*.txt"))


def test_a_lock_holds_dependencies_and_the_wheels_own_sha256(wheelhouse: Path, tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.12"])
    lock = read_lock(find_lock(env, python="3.12"))
    wheel = wheelhouse / "tinyengine-1.0-py3-none-any.whl"
    assert [(p.name, p.version) for p in lock.pins] == [("tinydep", "0.5"), ("tinyengine", "1.0")]
    assert lock.pins[1].sha256 == (hashlib.sha256(wheel.read_bytes()).hexdigest(),)
    assert locked_pythons(env) == ("3.12",)


@pytest.mark.usefixtures("wheelhouse")
def test_no_deps_leaves_out_what_a_package_asks_for(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyheavy==3.0  # no-deps\ntinyengine\n")
    names = [p.name for p in read_lock(next(env.folder.glob("lock-*"))).pins]
    assert names == ["tinydep", "tinyengine", "tinyheavy"]


@pytest.mark.usefixtures("wheelhouse")
def test_what_no_index_has_is_said_in_pips_words(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"resolve the lock of tiny: .*does-not-exist-anywhere"):
        make_env(tmp_path / "env", "tinyheavy\n")


@pytest.mark.usefixtures("wheelhouse")
def test_a_missing_lock_names_those_that_exist(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine\n", pythons=["3.12"])
    with pytest.raises(BuildError, match=r"no lock for Python 3\.9 .*locks: lock-cp312-x86_64\.txt"):
        find_lock(env, python="3.9", machine="x86_64")


@pytest.mark.usefixtures("wheelhouse")
def test_a_lock_older_than_its_requirements_is_refused(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.12"])
    (env.folder / "requirements.in").write_text("tinyengine==2.0\n")
    with pytest.raises(BuildError, match="has changed since"):
        find_lock(env, python="3.12")


@pytest.mark.usefixtures("wheelhouse")
def test_another_version_is_resolved_once_into_the_cache(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.12"], version="2.0")
    path = find_lock(env, python="3.12")
    assert path.is_relative_to(cache)
    assert read_lock(path).version_of("tinyengine") == "2.0"
    monkeypatch.setenv("PIP_FIND_LINKS", "")  # a second resolution would now find nothing
    assert find_lock(env, python="3.12") == path


@pytest.mark.usefixtures("wheelhouse")
def test_asking_for_the_locked_version_takes_the_lock_of_the_folder(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.12"], version="1.0")
    assert find_lock(env, python="3.12").parent == env.folder


@pytest.mark.usefixtures("wheelhouse")
def test_a_version_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine==1.0\n", pythons=["3.12"], version="9.9")
    with pytest.raises(BuildError, match=r"tinyengine==9\.9"):
        find_lock(env, python="3.12")


@pytest.mark.usefixtures("wheelhouse")
def test_making_a_lock_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    env = make_env(tmp_path / "env", "tinyengine\n", pythons=["3.12"])
    before = find_lock(env, python="3.12").read_bytes()
    assert make_lock(env, python="3.12").read_bytes() == before


def test_every_environment_of_the_repository_has_a_lock_for_the_default_base_or_says_which_python_it_needs() -> None:
    folders = {path.parent for path in IMAGES.rglob("requirements.in")}
    assert folders
    for folder in folders - {path.parent for path in REPOSITORY_LOCKS}:
        assert "locked where its vendor's index answers" in (folder / "backend.yaml").read_text(), folder
    locked = {path.parent for path in REPOSITORY_LOCKS}
    for folder in locked - {path.parent for path in REPOSITORY_LOCKS if path.name == lock_name("3.11", "x86_64")}:
        assert "locked for Python" in (folder / "backend.yaml").read_text(), folder


@pytest.mark.parametrize("path", REPOSITORY_LOCKS, ids=lambda p: str(p.relative_to(IMAGES)))
def test_a_lock_of_the_repository_is_current_and_free_of_cuda_unless_it_is_for_gpus(path: Path) -> None:
    target = parse_lock_name(path.name)
    assert target is not None
    env = EnvSpec(name=str(path.parent.relative_to(IMAGES)), folder=path.parent)
    lock = read_lock(find_lock(env, python=target[0], machine=target[1]))
    names = {p.name for p in lock.pins}
    assert {"numpy", "psutil"} <= names
    declared = path.parent / "backend.yaml"
    if declared.is_file() and "\ndevices: [cuda]\n" in declared.read_text():
        return
    assert not {n for n in names if "cuda" in n or n.startswith("nvidia") or n == "triton"}
    assert lock.version_of("torch") in (None, "2.13.0+cpu")


def test_the_machine_of_a_lock_defaults_to_this_one(tmp_path: Path) -> None:
    (tmp_path / lock_name("3.11", platform.machine())).write_text(f"a==1 --hash=sha256:{'a' * 64}\n")
    (tmp_path / lock_name("3.12", "sparc")).write_text(f"a==1 --hash=sha256:{'a' * 64}\n")
    env = EnvSpec(name="given", folder=tmp_path)  # a user's own folder may hold the lock alone
    assert locked_pythons(env) == ("3.11",)
    assert find_lock(env, python="3.11").parent == tmp_path
