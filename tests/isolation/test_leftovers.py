"""Removal beside creation, on an engine that is only there now and then."""

from __future__ import annotations

import threading
from typing import Any

import docker.errors
import pytest

from orchestrator.isolation.base import Laps
from orchestrator.isolation.leftovers import Leftovers


class Engine:
    """Takes removals; can be told to hang or to be away."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.away = False
        self.go = threading.Event()
        self.go.set()

    def remove_container(self, container: str, **_: Any) -> None:
        assert self.go.wait(10)
        if self.away:
            raise docker.errors.DockerException("no engine")
        if container == "gone":
            raise docker.errors.NotFound("no such container")
        self.removed.append(container)


def test_adding_does_not_wait_and_settling_does() -> None:
    engine: Any = Engine()
    leftovers = Leftovers(engine)
    engine.go.clear()
    leftovers.add("a")  # comes back although the engine does not answer yet
    assert engine.removed == []
    engine.go.set()
    leftovers.settle()
    assert engine.removed == ["a"]


def test_what_an_engine_out_of_reach_kept_is_removed_when_it_is_back() -> None:
    engine: Any = Engine()
    leftovers = Leftovers(engine)
    engine.away = True
    leftovers.add("a")
    leftovers.add("b")
    with pytest.raises(docker.errors.DockerException):
        leftovers.settle()
    engine.away = False
    leftovers.settle()
    leftovers.settle()
    assert engine.removed == ["a", "b"]


def test_what_is_gone_already_is_no_trouble() -> None:
    engine: Any = Engine()
    leftovers = Leftovers(engine)
    leftovers.add("gone")
    leftovers.add("a")
    leftovers.settle()
    assert engine.removed == ["a"]


def test_laps_follow_one_another_and_add_up_under_one_name() -> None:
    laps = Laps()
    for name in ("a", "b", "a"):
        laps.lap(name)
    assert list(laps.ms) == ["a", "b"]
    assert all(value >= 0 for value in laps.ms.values())
