"""The made-up registry as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import Registry
from tests.config.madeup import make_registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(tmp_path)
