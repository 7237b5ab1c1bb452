"""Which Python an environment is given, and where a base with it comes from."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from orchestrator.images.lockfile import lock_name
from orchestrator.images.pythons import hashes_bytecode, need_of, official_reference, related, suite_for
from orchestrator.model import BaseVariant, EnvSpec


@pytest.mark.parametrize(("locked", "order"), [
    (["3.11"], ("3.11",)),
    (["3.13", "3.11", "3.9", "3.10"], ("3.11", "3.13", "3.10", "3.9")),  # the usual one first, then the newest
    (["3.10", "3.6"], ("3.10", "3.6")),
    ([], ()),
])
def test_an_environment_asks_for_the_pythons_that_it_is_locked_for(
    tmp_path: Path, locked: list[str], order: tuple[str, ...],
) -> None:
    for python in locked:
        (tmp_path / lock_name(python, platform.machine())).touch()
    (tmp_path / lock_name("3.12", "another-machine")).touch()
    need = need_of(EnvSpec(name="x", folder=tmp_path, base=BaseVariant.TOOLCHAIN))
    assert (need.variant, need.pythons) == (BaseVariant.TOOLCHAIN, order)


def test_official_images_of_a_python_that_ended_are_of_the_release_they_were_last_made_for() -> None:
    assert official_reference("3.10") == "python:3.10-slim-bookworm"
    assert official_reference("3.6") == "python:3.6-slim-bullseye"


@pytest.mark.parametrize(("pythons", "host", "suite"), [
    (("3.11",), "bookworm", "bookworm"),
    (("3.11", "3.13"), "trixie", "trixie"),  # the host's own serves, though another is preferred
    (("3.9",), "bookworm", "bullseye"),
    (("3.10",), "bookworm", None),  # Ubuntu has it, and Debian's mirror has no Ubuntu
    (("3.10",), "noble", "jammy"),
    ((), "bookworm", "bookworm"),
    (("3.10",), "somethingelse", "somethingelse"),  # nothing is known of it: it is made, and then asked
])
def test_a_base_is_bootstrapped_from_a_suite_of_the_hosts_own_distribution(
    pythons: tuple[str, ...], host: str, suite: str | None,
) -> None:
    assert suite_for(pythons, host) == suite


@pytest.mark.parametrize(("python", "hashes"), [("3.6", False), ("3.7", True), ("3.11", True)])
def test_bytecode_is_named_by_its_content_from_the_python_on_that_can(python: str, hashes: object) -> None:
    assert hashes_bytecode(python) is hashes


def test_a_mirror_has_the_suites_of_its_own_distribution_only() -> None:
    assert related("bullseye", "bookworm")
    assert not related("jammy", "bookworm")
    assert not related("sid", "bookworm")
