"""The cache of wheels, filled by pip itself from a folder of wheels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.lockfile import Lock
from orchestrator.images.locks import find_lock, read_lock
from orchestrator.images.wheels import fetch, link_into, sha256_of
from tests.images.wheelhouse import THIS_PYTHON, make_env, make_wheel


@pytest.fixture
def lock(wheelhouse: Path, tmp_path: Path) -> Lock:
    assert wheelhouse.is_dir()
    return read_lock(find_lock(make_env(tmp_path / "env", "tinyengine==1.0\n"), python=THIS_PYTHON))


def test_every_pin_gets_its_wheel_under_its_own_hash(lock: Lock, cache: Path) -> None:
    said: list[str] = []
    wheels = fetch(lock, progress=said.append)
    assert [w.name for w in wheels] == ["tinydep-0.5-py3-none-any.whl", "tinyengine-1.0-py3-none-any.whl"]
    assert [w.parent for w in wheels] == [cache / "wheels" / p.sha256[0] for p in lock.pins]
    assert said == ["downloading 2 of 2 wheels"]


def test_the_second_fetch_asks_nobody(lock: Lock, wheelhouse: Path) -> None:
    first = fetch(lock)
    shutil.rmtree(wheelhouse)  # with no index and no folder, any call of pip's would fail
    said: list[str] = []
    assert fetch(lock, progress=said.append) == first
    assert said == []


def test_only_what_is_missing_is_downloaded(lock: Lock) -> None:
    fetch(lock)[0].unlink()
    said: list[str] = []
    fetch(lock, progress=said.append)
    assert said == ["downloading 1 of 2 wheels"]


def test_a_damaged_wheel_is_fetched_again(lock: Lock) -> None:
    damaged = fetch(lock)[1]
    damaged.write_bytes(b"half a wheel")
    assert sha256_of(fetch(lock)[1]) == lock.pins[1].sha256[0]


def test_a_wheel_that_is_not_the_locked_one_is_refused(lock: Lock, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "tinyengine", "1.0", payload=b"something else under the same name")
    with pytest.raises(BuildError, match="download the wheels"):
        fetch(lock)


def test_a_context_shares_the_disk_with_the_cache(lock: Lock, tmp_path: Path) -> None:
    wheels = fetch(lock)
    link_into(wheels, tmp_path / "context" / "wheels")
    linked = tmp_path / "context" / "wheels" / wheels[0].name
    assert linked.samefile(wheels[0])
