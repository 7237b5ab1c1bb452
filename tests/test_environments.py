"""Interpreters that a user names, checked before a run waits for the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.environments import named_interpreters
from orchestrator.errors import ConfigError
from tests.config.madeup import make_registry, read


def test_an_interpreter_must_be_a_program(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    text = "models: [spam]\nbackends: [beta]\ninterpreters: {beta: %s}"
    assert named_interpreters(read(text % sys.executable, registry), ["beta"])["beta"].samefile(sys.executable)
    with pytest.raises(ConfigError, match="does not exist"):
        named_interpreters(read(text % (tmp_path / "nowhere"), registry), ["beta"])
    with pytest.raises(ConfigError, match="no program"):
        named_interpreters(read(text % tmp_path, registry), ["beta"])
