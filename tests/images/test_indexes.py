"""Indexes beside the user's own: real ones on this machine, one that has a package and one that does not answer."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.bench import _unprepared
from orchestrator.errors import BuildError, UnavailableError
from orchestrator.images.indexes import VARIABLE, extra_indexes
from orchestrator.images.locks import make_lock
from orchestrator.model import EnvSpec, Status
from tests.images.wheelhouse import THIS_PYTHON, make_wheel

NOBODY = "http://127.0.0.1:9/simple"  # nothing listens there


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of an index on this machine: a folder per package, with a page of links to its wheels."""
    folder.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def own_index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The user's own index, which answers and has nothing; no other settings of pip's hold."""
    assert cache.is_dir()
    for name in [name for name in os.environ if name.startswith("PIP_")] + [VARIABLE]:
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path / "own") as address:
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", address)
        yield address


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[str]:
    """The address of an index that has `vendorlib` 1.0."""
    folder = tmp_path / "vendor"
    wheel = make_wheel(folder / "vendorlib", "vendorlib", "1.0")
    (folder / "vendorlib" / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>')
    with serving(folder) as address:
        yield address


def needs_vendor(folder: Path, *urls: str) -> EnvSpec:
    folder.mkdir()
    (folder / "requirements.in").write_text("vendorlib==1.0\n")
    return EnvSpec(name="x", folder=folder, extra_index_urls=urls)


def test_the_users_variable_takes_the_place_of_what_a_backend_names() -> None:
    declared = ("https://vendor.example/simple",)
    assert extra_indexes(declared, {}) == declared
    assert extra_indexes(declared, {VARIABLE: "https://a.example https://b.example"}) == ("https://a.example", "https://b.example")
    assert extra_indexes(declared, {VARIABLE: ""}) == ()
    assert extra_indexes((), {VARIABLE: "https://a.example"}) == ()  # a backend that needs none asks none


def test_an_index_that_does_not_answer_is_named_with_the_setting_and_is_no_fault_of_the_backend(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        make_lock(needs_vendor(tmp_path / "env", NOBODY), python=THIS_PYTHON)
    assert f"the package index {NOBODY}, which may have it, does not answer (no connection)" in caught.value.message
    assert f"name a mirror of it in {VARIABLE}" in caught.value.message
    assert "vendorlib" in caught.value.message
    assert _unprepared(caught.value).status is Status.IMAGE_UNAVAILABLE


def test_a_mirror_in_the_variable_is_asked_instead(vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, vendor)
    assert "vendorlib==1.0" in make_lock(needs_vendor(tmp_path / "env", NOBODY), python=THIS_PYTHON).read_text()


def test_an_index_that_answers_and_lacks_the_package_leaves_pip_its_own_words(vendor: str, tmp_path: Path) -> None:
    env = needs_vendor(tmp_path / "env", vendor)
    (env.folder / "requirements.in").write_text("vendorlib==2.0\n")
    with pytest.raises(BuildError, match=r"vendorlib==2\.0") as caught:
        make_lock(env, python=THIS_PYTHON)
    assert not isinstance(caught.value, UnavailableError)
