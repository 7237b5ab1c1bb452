"""What environments take on a disk: from what was installed, and back from the published file."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from orchestrator.errors import ResultError
from orchestrator.facts.sizes import FILE, Size, document, load, measure
from orchestrator.images.lockfile import Pin, format_lock, lock_name
from orchestrator.images.locks import read_lock
from orchestrator.model import BaseVariant, EnvSpec


def environment(folder: Path, sha: str) -> tuple[EnvSpec, str]:
    """An environment with a lock of one wheel, and the lock's digest."""
    folder.mkdir()
    pins = [Pin(name="engine", version="1.0", sha256=(sha,))]
    path = folder / lock_name("3.11", "x86_64")
    path.write_text(format_lock(env_name=folder.name, python="3.11", machine="x86_64", requirements="0" * 64, pins=pins))
    return EnvSpec(name=folder.name, folder=folder, base=BaseVariant.SLIM), read_lock(path).digest


def installed(cache: Path, name: str, lock: str, size_mb: float) -> None:
    marker = cache / "venvs" / name / "infermatrix.json"
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"size_mb": size_mb, "packages": 1, "lock": lock}))


def test_only_what_a_standing_lock_installed_counts(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (one, lock), (other, _) = environment(tmp_path / "one", "a" * 64), environment(tmp_path / "other", "b" * 64)
    installed(cache, "one-1", lock, 12.5)
    installed(cache, "other-0", "of an older lock", 99.0)
    assert measure([one, other], cache) == {"one": Size(lock=lock, installed_mb=12.5, wheels_mb=None, packages=1)}
    wheel = cache / "wheels" / ("a" * 64) / "engine-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(bytes(2_500_000))
    assert measure([one], cache)["one"].wheels_mb == 2.5


def test_what_is_published_is_read_back(tmp_path: Path) -> None:
    sizes = {"one": Size(lock="l", installed_mb=1.5, wheels_mb=None, packages=3)}
    (tmp_path / FILE).write_text(json.dumps(document(sizes, command="c", day=date(2026, 11, 21))))
    assert load(tmp_path) == sizes
    assert load(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("environments", [None, {"one": 3}, {"one": {"installed": 1}}])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, environments: object) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema": "infermatrix.sizes/1", "environments": environments}))
    with pytest.raises(ResultError, match=FILE):
        load(tmp_path)
