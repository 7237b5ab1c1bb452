"""What all tests share: an engine (or the reason why there is none), a base image, a cache of their own.

INFERMATRIX_REQUIRE=engine,browser makes a missing one an error instead of a skip: CI must not pass by skipping.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from orchestrator.doctor.engine import EngineAnswer, engine_answer, engine_endpoint, open_client
from orchestrator.errors import BuildError
from orchestrator.images.base import ensure_base
from orchestrator.images.basechoice import BaseChoice
from orchestrator.images.pythons import BaseNeed
from orchestrator.model import BaseVariant

_ANSWER = pytest.StashKey[EngineAnswer]()


_WHOLE_MACHINE = ("endtoend", "isolation", "images", "doctor", "benchmarks")


class _ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Which tests may not run beside each other when several processes run them (`make test`).

    Those that use the engine, its images or the host's lock take turns; those of adapters share what they export.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return "machine" if folder in _WHOLE_MACHINE else folder if folder == "adapters" else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFolder:
    """How tests are dealt out to the processes of `-n`."""
    return _ByFolder(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `engine` or `browser` run only where there is one, `heavy` ones only where they are asked for."""
    if item.get_closest_marker("heavy") and os.environ.get("INFERMATRIX_TEST_HEAVY") != "1":
        pytest.skip("heavy: set INFERMATRIX_TEST_HEAVY=1")
    if item.get_closest_marker("engine"):
        _need_engine(item.config)
    if item.get_closest_marker("browser"):
        missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
        if missing:
            _missing("browser", f"{' and '.join(missing)} not installed")


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[docker.DockerClient]:
    """A client of the engine that answers; skips with the reason where none does."""
    _need_engine(pytestconfig)
    client = open_client(engine_endpoint(), timeout_s=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of the project's own slim base, made where the engine has none yet (INFERMATRIX_BASE: another)."""
    choice = BaseChoice.parse(os.environ.get("INFERMATRIX_BASE", "auto"))
    try:
        base = ensure_base(BaseNeed(variant=BaseVariant.SLIM), choice, client=engine, log_dir=tmp_path_factory.mktemp("base"))
    except BuildError as error:
        _missing("engine", error.message)
    return base.reference


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that INFERMATRIX_CACHE points at."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("INFERMATRIX_CACHE", str(folder))
    return folder


def _need_engine(config: pytest.Config) -> None:
    answer = config.stash.get(_ANSWER, None)
    if answer is None:
        answer = config.stash[_ANSWER] = engine_answer()
    if not answer.available:
        _missing("engine", answer.reason)


def _missing(what: str, reason: str) -> NoReturn:
    if what in os.environ.get("INFERMATRIX_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required here: {reason}", pytrace=False)
    pytest.skip(f"no {what}: {reason}")
