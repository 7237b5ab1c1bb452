"""Profiles that extend a built-in one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.backends import Registry
from orchestrator.config.profiles import OFFICIAL, QUICK
from orchestrator.errors import ConfigError
from tests.config.madeup import AXES, read


def test_a_profile_that_changes_nothing_keeps_its_name(registry: Registry) -> None:
    assert read(AXES + "profile: {extends: official}", registry).profile == OFFICIAL


def test_a_profile_says_how_many_trials_are_enough(registry: Registry) -> None:
    profile = "profile: {extends: quick, trials: 3, enough: %d}"
    assert read(AXES + profile % 2, registry).profile == replace(QUICK, name="quick-custom", trials=3, enough=2)
    for number in (1, 4):
        with pytest.raises(ConfigError, match="`enough` must be 2 to 3 in this profile that extends `quick`"):
            read(AXES + profile % number, registry)
    with pytest.raises(ConfigError, match="`enough` must be 20 to 20 in this profile that extends `official`"):
        read(AXES + "profile: {extends: official, enough: 3}", registry)
