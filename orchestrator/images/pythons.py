"""Which Python an image is based on, and where a base with that Python comes from. Pure, but for looking at locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.images.locks import locked_pythons
from orchestrator.model import BaseVariant, EnvSpec

DEFAULT_PYTHON = "3.11"  # of Debian 12, and what every environment is locked for that can be
# The Python of each suite, by distribution: a host's mirror holds the other suites of its own distribution too.
_SUITES = {
    "debian": {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13"},
    "ubuntu": {"bionic": "3.6", "focal": "3.8", "jammy": "3.10", "noble": "3.12"},
}
_RELEASE = "bookworm"
_LAST_RELEASE = {"3.6": "bullseye"}  # official images of a Python that ended before bookworm
_HASHED_BYTECODE = (3, 7)
_PIP_INSTALLS_ELSEWHERE = (3, 10)  # `pip --python`: pip 22.3 and newer, which bases of older Pythons need not have


@dataclass(frozen=True, kw_only=True, order=True)
class BaseNeed:
    """What environments ask of a base: its variant, and the Pythons that they are locked for, the preferred one first."""

    variant: BaseVariant
    pythons: tuple[str, ...] = ()  # empty: any


def need_of(env: EnvSpec) -> BaseNeed:
    """The default Python where the environment has a lock for it, else the newest that it has one for."""
    known = locked_pythons(env)
    return BaseNeed(variant=env.base, pythons=tuple(sorted(known, key=lambda python: python != DEFAULT_PYTHON)))


def official_reference(python: str) -> str:
    """The slim official image of that Python, as it is called in a registry."""
    return f"python:{python}-slim-{_LAST_RELEASE.get(python, _RELEASE)}"


def python_of_suite(suite: str) -> str | None:
    """The Python that a suite has; None for one that is not known here."""
    return next((suites[suite] for suites in _SUITES.values() if suite in suites), None)


def suite_for(pythons: Sequence[str], host_suite: str) -> str | None:
    """The suite to bootstrap: the host's own where it fits or nothing is known of it, else a fitting one beside it."""
    own = python_of_suite(host_suite)
    if not pythons or own is None or own in pythons:
        return host_suite
    siblings = next(suites for suites in _SUITES.values() if host_suite in suites)
    return next((suite for python in pythons for suite, has in siblings.items() if has == python), None)


def related(suite: str, host_suite: str) -> bool:
    """Whether both are of one distribution, so that the host's mirror has either."""
    return any(suite in suites and host_suite in suites for suites in _SUITES.values())


def pip_installs_elsewhere(python: str) -> bool:
    """Whether the pip that comes with this Python can be trusted to install into another environment by itself."""
    return _version(python) >= _PIP_INSTALLS_ELSEWHERE


def hashes_bytecode(python: str) -> bool:
    """Whether this Python can name in compiled files the content they were compiled from; older ones name its time and size."""
    return _version(python) >= _HASHED_BYTECODE


def _version(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))
