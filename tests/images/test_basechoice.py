"""Which base images are asked for: one word, a reference, and beside it the image with CUDA."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import ConfigError
from orchestrator.images.basechoice import BaseChoice, BaseKind, overlaid
from orchestrator.images.pythons import BaseNeed
from orchestrator.model import BaseVariant

SLIM, TOOLCHAIN = BaseNeed(variant=BaseVariant.SLIM), BaseNeed(variant=BaseVariant.TOOLCHAIN)


@pytest.mark.parametrize(("text", "kind", "suite"), [
    ("auto", BaseKind.AUTO, None),
    ("bootstrap", BaseKind.BOOTSTRAP, None),
    ("bootstrap:trixie", BaseKind.BOOTSTRAP, "trixie"),
    ("interpreter:/opt/python/bin/python3.6", BaseKind.INTERPRETER, None),
    ("registry.example/interpreter:3.12", BaseKind.REGISTRY, None),
    ("python:3.12-slim", BaseKind.REGISTRY, None),
])
def test_a_choice_is_one_word_or_a_reference(text: str, kind: BaseKind, suite: str | None) -> None:
    choice = BaseChoice.parse(text)
    assert (choice.kind, choice.suite) == (kind, suite)
    assert kind is not BaseKind.REGISTRY or choice.reference == text
    assert choice.interpreter == (Path("/opt/python/bin/python3.6") if kind is BaseKind.INTERPRETER else None)


def test_the_toolchain_variant_of_an_official_image_is_the_one_without_slim() -> None:
    choice = BaseChoice.parse("registry.example/python:3.11-slim-bookworm")
    assert choice.reference_for(SLIM) == "registry.example/python:3.11-slim-bookworm"
    assert choice.reference_for(TOOLCHAIN) == "registry.example/python:3.11-bookworm"


def test_a_reference_may_leave_the_python_open() -> None:
    old = BaseNeed(variant=BaseVariant.TOOLCHAIN, pythons=("3.10",))
    assert BaseChoice.parse("registry.example/python:{python}-slim").reference_for(old) == "registry.example/python:3.10"
    assert BaseChoice.parse("auto").reference_for(old) == "python:3.10-bookworm"
    assert BaseChoice.parse("auto").reference_for(SLIM) == "python:3.11-slim-bookworm"
    assert BaseChoice.parse("python:3.12-slim").reference_for(old) == "python:3.12"  # named: taken as it is, whoever asks


@pytest.mark.parametrize(("text", "kind", "cuda"), [
    ("auto,cuda=r.example/cuda@sha256:00", BaseKind.AUTO, "r.example/cuda@sha256:00"),
    ("cuda=r.example/cuda:13", BaseKind.AUTO, "r.example/cuda:13"),
    ("bootstrap:trixie,cuda=r.example/cuda:13", BaseKind.BOOTSTRAP, "r.example/cuda:13"),
    ("python:3.12-slim, cuda=r.example/cuda:13", BaseKind.REGISTRY, "r.example/cuda:13"),
    ("python:3.12-slim", BaseKind.REGISTRY, None),
])
def test_the_image_with_cuda_is_named_beside_the_other(text: str, kind: BaseKind, cuda: str | None) -> None:
    choice = BaseChoice.parse(text)
    assert (choice.kind, choice.cuda) == (kind, cuda)


@pytest.mark.parametrize("text", ["auto,bootstrap", "cuda=a,cuda=b", "auto,cuda=", ",cuda=a"])
def test_what_is_named_twice_or_not_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no choice of base images"):
        BaseChoice.parse(text)


@pytest.mark.parametrize(("matrix", "command_line", "both"), [
    ("auto", "cuda=r.example/c:1", "auto,cuda=r.example/c:1"),
    ("python:3.12-slim,cuda=r.example/c:1", "cuda=r.example/c:2", "python:3.12-slim,cuda=r.example/c:2"),
    ("python:3.12-slim,cuda=r.example/c:1", "bootstrap", "bootstrap,cuda=r.example/c:1"),
    ("bootstrap:trixie", "auto", "auto"),
])
def test_the_command_line_replaces_what_it_names_and_no_more(matrix: str, command_line: str, both: str) -> None:
    assert overlaid(matrix, command_line) == both
    assert BaseChoice.parse(both) == BaseChoice.parse(overlaid(both, both))
