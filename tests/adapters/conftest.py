"""The real adapters in their own environments, driven through the runner's own jobs.

INFERMATRIX_TEST_ENVS says where the environments are: a folder of virtual environments named `ncnn`, `ncnn_converter`,
`_models` …; `build` makes what is missing (downloads gigabytes); unset, those that earlier runs left in the cache.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from orchestrator.backends import load_registry
from orchestrator.environments import MODELS_ENV, models_env
from orchestrator.errors import InfermatrixError, NoPythonError
from orchestrator.images.cache import cache_dir
from orchestrator.images.render import slug
from orchestrator.images.venvs import ensure_venv
from orchestrator.model import EnvSpec
from tests.adapters.jobs import BackendPython, Runner

IMAGES = Path(__file__).parents[2] / "images"
VARIABLE = "INFERMATRIX_TEST_ENVS"


@pytest.fixture(scope="session")
def backend_python() -> BackendPython:
    """The interpreter of an environment ("ncnn", "ncnn/converter", "_models"); skips where it is not there."""
    return _python


@cache
def _python(name: str) -> str:
    where = os.environ.get(VARIABLE, "")
    if where == "build":
        try:
            return ensure_venv(_spec(name)).python
        except NoPythonError as error:
            pytest.skip(error.message)
        except InfermatrixError as error:
            pytest.fail(f"the environment {name} was to be built: {error.message}")
    if where:
        path = Path(where) / name.replace("/", "_") / "bin" / "python"
        if not path.exists():
            pytest.skip(f"no environment {name} in {VARIABLE}={where}")
        return str(path)
    markers = (cache_dir() / "venvs").glob(f"{slug(name)}-????????????/infermatrix.json")
    made = sorted(markers, key=lambda marker: marker.stat().st_mtime)
    if not made:
        pytest.skip(f"no environment {name} in the cache (a run makes it, or {VARIABLE}=build)")
    return str(made[-1].parent / "bin" / "python")


def _spec(name: str) -> EnvSpec:
    if name == MODELS_ENV:
        return models_env(IMAGES)
    backend, _, part = name.partition("/")
    spec = load_registry(IMAGES)[backend]
    if not part:
        return spec.env
    assert spec.converter is not None
    return spec.converter.env


@pytest.fixture(scope="session")
def runner(backend_python: BackendPython, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Shared by all tests, so that a model is exported once."""
    return Runner(python=backend_python, scratch=tmp_path_factory.mktemp("jobs"))
