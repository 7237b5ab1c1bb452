"""Requirements and locks as text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BuildError
from orchestrator.images.lockfile import (
    Pin,
    format_lock,
    parse_lock,
    parse_lock_name,
    parse_requirements,
    requirements_digest,
    with_version,
)

_HASH = st.text("0123456789abcdef", min_size=64, max_size=64)
_PINS = st.lists(
    st.builds(
        Pin,
        name=st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12),
        version=st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}(\+cpu)?", fullmatch=True),
        sha256=st.lists(_HASH, min_size=1, max_size=3, unique=True).map(tuple),
        sdist=st.booleans(),
    ),
    min_size=1, max_size=8, unique_by=lambda p: p.name,
)


@given(_PINS)
def test_a_written_lock_reads_back_as_the_same_pins(pins: list[Pin]) -> None:
    text = format_lock(env_name="x/y", python="3.12", machine="x86_64", requirements="0" * 64, pins=pins)
    lock = parse_lock(text, name="lock-cp312-x86_64.txt")
    assert lock.pins == tuple(sorted(pins, key=lambda p: p.name))
    assert (lock.python, lock.machine, lock.requirements) == ("3.12", "x86_64", "0" * 64)


def test_a_comment_does_not_change_a_locks_digest_but_a_hash_does() -> None:
    first = parse_lock(f"a==1 --hash=sha256:{'a' * 64}\n", name="lock-cp311-x86_64.txt")
    reworded = parse_lock(f"# why\na==1 \\\n  --hash=sha256:{'a' * 64}\n", name="lock-cp311-x86_64.txt")
    other = parse_lock(f"a==1 --hash=sha256:{'b' * 64}\n", name="lock-cp311-x86_64.txt")
    assert first.digest == reworded.digest != other.digest


@pytest.mark.parametrize("line", ["numpy==2.0", "numpy>=2 --hash=sha256:" + "a" * 64, "-r other.txt", "numpy==2.0 --hash=md5:00"])
def test_a_line_without_pin_and_sha256_is_refused(line: str) -> None:
    with pytest.raises(BuildError, match="not pinned"):
        parse_lock(line + "\n", name="lock-cp311-x86_64.txt")


def test_an_empty_lock_is_refused() -> None:
    with pytest.raises(BuildError, match="no package"):
        parse_lock("# nothing\n", name="lock-cp311-x86_64.txt")


@given(_PINS)
def test_wheels_and_sources_are_installed_apart_and_none_is_lost(pins: list[Pin]) -> None:
    lock = parse_lock(format_lock(env_name="x", python="3.12", machine="x86_64", requirements="0" * 64, pins=pins),
                      name="lock-cp312-x86_64.txt")
    for text, source in ((lock.wheels_text, False), (lock.sdists_text, True)):
        kept = [p for p in lock.pins if p.sdist is source]
        read = parse_lock(text, name="lock-cp312-x86_64.txt").pins if kept else ()
        assert [(p.name, p.version, p.sha256) for p in read] == [(p.name, p.version, p.sha256) for p in kept]
    if not lock.sdists_text:
        assert lock.wheels_text == lock.text


def test_a_source_and_a_wheel_of_the_same_hash_are_different_locks() -> None:
    text = f"a==1 --hash=sha256:{'a' * 64}"
    wheel, source = (parse_lock(f"{text}{mark}\n", name="lock-cp311-x86_64.txt") for mark in ("", "  # sdist"))
    assert wheel.digest != source.digest


def test_lock_names_tell_python_and_machine() -> None:
    assert parse_lock_name("lock-cp313-aarch64.txt") == ("3.13", "aarch64")
    assert parse_lock_name("requirements.txt") is None


def test_no_deps_is_a_trailing_comment() -> None:
    wanted = parse_requirements("a==1  # no-deps\n# no-deps: only words\nb>=2 # needed\n\n", origin="x")
    assert [(w.requirement, w.with_deps) for w in wanted] == [("a==1", False), ("b>=2", True)]


def test_sdist_is_a_trailing_comment_and_asks_for_no_dependencies() -> None:
    wanted = parse_requirements("a==1  # sdist\nb==1  # not an sdist of ours\n", origin="x")
    assert [(w.requirement, w.with_deps, w.sdist) for w in wanted] == [("a==1", False, True), ("b==1", True, False)]


@pytest.mark.parametrize("line", ["a", "a>=1", "a==1.*", "a==1,!=2"])
def test_what_is_built_from_source_needs_an_exact_version(line: str) -> None:
    with pytest.raises(BuildError, match="names no exact version"):
        parse_requirements(f"{line}  # sdist\n", origin="x")


def test_a_broken_requirement_names_its_line() -> None:
    with pytest.raises(BuildError, match=r"x/requirements\.in, line 2: 'b =='"):
        parse_requirements("a\nb ==\n", origin="x/requirements.in")


def test_the_requirements_digest_sees_what_is_asked_for_and_nothing_else() -> None:
    def of(text: str) -> str:
        return requirements_digest(parse_requirements(text, origin="x"))

    assert of("a==1\nb\n") == of("# hello\nb\n\na==1  # pinned\n")
    assert of("a==1\nb\n") != of("a==1  # no-deps\nb\n")
    assert of("a==1  # sdist\nb\n") not in (of("a==1\nb\n"), of("a==1  # no-deps\nb\n"))
    assert of("a==1\n") != of("a==2\n")


@pytest.mark.parametrize(("asked", "pinned"), [("2.12.0", "torch==2.12.0+cpu"), ("2.12.0+xpu", "torch==2.12.0+xpu")])
def test_another_version_keeps_the_build_of_the_pin(asked: str, pinned: str) -> None:
    changed = with_version(parse_requirements("torch==2.13.0+cpu\nnumpy\n", origin="x"), distribution="Torch", version=asked)
    assert [w.requirement for w in changed] == [pinned, "numpy"]


def test_another_version_of_something_not_required_is_refused() -> None:
    with pytest.raises(BuildError, match="torch is not among the requirements"):
        with_version(parse_requirements("numpy\n", origin="x"), distribution="torch", version="1")
