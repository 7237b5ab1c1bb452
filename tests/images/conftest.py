"""A wheelhouse of tiny packages that pip sees through the user's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.wheelhouse import make_runner, make_wheel


@pytest.fixture
def wheelhouse(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tinyengine 1.0 and 2.0 (both need tinydep), tinyheavy (asks for what does not exist); no index, empty cache."""
    assert cache.is_dir()
    folder = tmp_path / "wheelhouse"
    make_wheel(folder, "tinydep", "0.5")
    make_wheel(folder, "tinyengine", "1.0", requires=["tinydep"], payload=b"x" * 1000)
    make_wheel(folder, "tinyengine", "2.0", requires=["tinydep"])
    make_wheel(folder, "tinyheavy", "3.0", requires=["does-not-exist-anywhere"])
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def runner_dir(tmp_path: Path) -> Path:
    return make_runner(tmp_path / "runners")
