"""Which base image is taken, and from where: with a real engine and a real registry on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
import requests

from orchestrator.errors import BuildError, NoPythonError, UnavailableError
from orchestrator.images.base import ensure_base, ensure_bases, import_tree
from orchestrator.images.basechoice import BaseChoice, BaseKind
from orchestrator.images.pythons import BaseNeed
from orchestrator.model import BaseVariant

SLIM, TOOLCHAIN = BaseNeed(variant=BaseVariant.SLIM), BaseNeed(variant=BaseVariant.TOOLCHAIN)
REGISTRY = """version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {data}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_what_needs_cuda_starts_from_the_image_named_for_it_by_digest(
    engine: docker.DockerClient, base_image: str, registry: str, tmp_path: Path,
) -> None:
    """The image holds no CUDA, but nothing looks for it: that it is another than the others', by its digest, is the point."""
    known = engine.images.get(base_image).labels["io.infermatrix.python"]
    reference = f"{registry}/library/cuda:13-with-python"
    engine.images.get(base_image).tag(reference)
    pushed = next(e["aux"]["Digest"] for e in engine.images.push(reference, stream=True, decode=True) if "aux" in e)
    engine.images.remove(reference)
    needs = [BaseNeed(variant=variant, pythons=(known,)) for variant in (BaseVariant.SLIM, BaseVariant.CUDA)]
    by_digest = f"{registry}/library/cuda@{pushed}"
    bases = ensure_bases(needs, BaseChoice.parse(f"{base_image},cuda={by_digest}"), client=engine, log_dir=tmp_path)
    slim, cuda = (bases[need] for need in needs)
    assert not isinstance(slim, BuildError)
    assert not isinstance(cuda, BuildError)
    assert (cuda.reference, cuda.digest, cuda.source) == (by_digest, pushed, "registry")
    assert slim.digest != cuda.digest
    refused = ensure_bases([BaseNeed(variant=BaseVariant.CUDA, pythons=("3.99",))], BaseChoice.parse(f"cuda={by_digest}"),
                           client=engine, log_dir=tmp_path).popitem()[1]
    assert isinstance(refused, UnavailableError)
    assert f"has Python {known}, wanted is 3.99" in refused.message


@pytest.mark.engine
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("beside", "message"), [
    ("", "no base image with CUDA is named"),
    (",cuda=127.0.0.1:9/cuda@sha256:" + "0" * 64, r"the base image 127\.0\.0\.1:9/cuda@sha256:0+ cannot be had"),
])
def test_without_an_image_with_cuda_only_what_needs_one_goes_without(
    engine: docker.DockerClient, base_image: str, tmp_path: Path, beside: str, message: str,
) -> None:
    needs = [BaseNeed(variant=variant) for variant in (BaseVariant.SLIM, BaseVariant.CUDA)]
    bases = ensure_bases(needs, BaseChoice.parse(base_image + beside), client=engine, log_dir=tmp_path)
    assert not isinstance(bases[needs[0]], BuildError)
    refused = bases[needs[1]]
    assert isinstance(refused, UnavailableError)
    assert re.search(message, refused.message)


@pytest.mark.engine
@pytest.mark.usefixtures("cache")
def test_an_interpreter_makes_no_base_for_another_python(engine: docker.DockerClient, tmp_path: Path) -> None:
    choice = BaseChoice.parse(f"interpreter:{sys.executable}")
    with pytest.raises(NoPythonError, match=r"is Python 3\.\d+, not 3\.99"):
        ensure_base(BaseNeed(variant=BaseVariant.SLIM, pythons=("3.99",)), choice, client=engine, log_dir=tmp_path)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_each_environment_gets_a_base_with_a_python_that_it_is_locked_for(
    engine: docker.DockerClient, base_image: str, registry: str, tmp_path: Path,
) -> None:
    """Of two Pythons the registry has one; what needs the other has no base, and says so, without harm to the first."""
    known = engine.images.get(base_image).labels["io.infermatrix.python"]
    reference = f"{registry}/python:{known}-slim"
    engine.images.get(base_image).tag(reference)
    engine.images.push(reference)
    engine.images.remove(reference)
    has, lacks = (BaseNeed(variant=BaseVariant.SLIM, pythons=(python,)) for python in (known, "3.99"))
    bases = ensure_bases([lacks, has], BaseChoice.parse(f"{registry}/python:{{python}}-slim"), client=engine, log_dir=tmp_path)
    base, refused = bases[has], bases[lacks]
    assert not isinstance(base, BuildError)
    assert (base.python, base.source) == (known, "registry")
    assert isinstance(refused, BuildError)
    assert f"{registry}/python:3.99-slim cannot be had" in refused.message


@pytest.mark.engine
@pytest.mark.usefixtures("base_image", "cache")
def test_without_a_base_for_a_python_that_is_here_the_other_isolation_is_named(
    engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    binary = tmp_path / "python3.99"
    binary.write_text("#!/bin/sh\necho '[\"3.99\", \"x86_64\", \"CPython\"]'\n")
    binary.chmod(0o755)
    need = BaseNeed(variant=BaseVariant.SLIM, pythons=("3.99",))
    choice = BaseChoice(kind=BaseKind.AUTO, reference="127.0.0.1:9/python:{python}")  # nothing listens there
    with pytest.raises(NoPythonError, match=r"no slim base image with Python 3\.99"):
        ensure_base(need, choice, client=engine, log_dir=tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BuildError) as caught:
        ensure_base(need, choice, client=engine, log_dir=tmp_path)
    assert "This machine has Python 3.99 itself: --isolation venv" in (caught.value.hint or "")


@pytest.fixture
def registry(engine: docker.DockerClient, tmp_path: Path) -> Iterator[str]:
    """A registry on this machine that holds nothing; yields its address."""
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("no registry: Debian's docker-registry is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(REGISTRY.format(data=tmp_path / "registry", port=port))
    with (tmp_path / "registry.log").open("w") as log:
        process = subprocess.Popen([binary, "serve", str(config)], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
            for image in engine.images.list():
                for name in [*image.tags, *(image.attrs.get("RepoDigests") or ())]:
                    if name.startswith(f"127.0.0.1:{port}/"):
                        with contextlib.suppress(docker.errors.ImageNotFound):  # a digest goes with its last tag
                            engine.images.remove(name)


@pytest.mark.engine
@pytest.mark.slow
def test_a_base_from_a_registry_is_used_by_its_digest(
    engine: docker.DockerClient, base_image: str, registry: str, cache: Path, tmp_path: Path,
) -> None:
    reference = f"{registry}/library/python:3.11-slim"
    engine.images.get(base_image).tag(reference)
    pushed = next(e["aux"]["Digest"] for e in engine.images.push(reference, stream=True, decode=True) if "aux" in e)
    engine.images.remove(reference)
    said: list[str] = []
    base = ensure_base(SLIM, BaseChoice.parse(reference), client=engine, log_dir=tmp_path, progress=said.append)
    assert (base.reference, base.digest) == (f"{registry}/library/python@{pushed}", pushed)
    assert (base.source, base.python) == ("registry", "3.11")
    assert said == [f"pulling {reference}"]
    again = ensure_base(SLIM, BaseChoice.parse(reference), client=engine, log_dir=tmp_path, progress=said.append)
    assert (again.reference, again.digest, len(said)) == (base.reference, pushed, 1)  # not pulled twice
    by_digest = ensure_base(SLIM, BaseChoice.parse(base.reference), client=engine, log_dir=tmp_path)
    assert by_digest.digest == pushed
    assert cache.is_dir()


@pytest.mark.engine
@pytest.mark.slow
def test_what_a_registry_does_not_have_is_said_so(engine: docker.DockerClient, registry: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"the base image {registry}/nothing:1 cannot be had"):
        ensure_base(SLIM, BaseChoice.parse(f"{registry}/nothing:1"), client=engine, log_dir=tmp_path)


@pytest.mark.engine
@pytest.mark.usefixtures("cache")
def test_an_image_of_this_engine_may_be_the_base(engine: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    engine.images.get(base_image).tag("infermatrix-test/own-base:1")
    try:
        base = ensure_base(SLIM, BaseChoice.parse("infermatrix-test/own-base:1"), client=engine, log_dir=tmp_path)
    finally:
        engine.images.remove("infermatrix-test/own-base:1")
    assert base.source == "local"
    assert base.reference == "infermatrix-test/own-base:1"
    assert base.digest.startswith("sha256:")


@pytest.mark.engine
@pytest.mark.usefixtures("cache")
def test_a_base_without_compiler_is_no_toolchain(engine: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    engine.images.get(base_image).tag("infermatrix-test/own-base:2")
    try:
        bases = ensure_bases([SLIM, TOOLCHAIN], BaseChoice.parse("infermatrix-test/own-base:2"), client=engine, log_dir=tmp_path)
    finally:
        engine.images.remove("infermatrix-test/own-base:2")
    assert not isinstance(bases[SLIM], BuildError)
    refused = bases[TOOLCHAIN]
    assert isinstance(refused, BuildError)
    assert "no g++" in refused.message


@pytest.mark.engine
@pytest.mark.usefixtures("cache")
def test_an_image_without_python_is_no_base(engine: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(bytes(1024))
    engine.api.import_image_from_file(str(tmp_path / "empty.tar"), repository="infermatrix-test/empty", tag="1")
    try:
        with pytest.raises(BuildError, match="no python3 that runs"):
            ensure_base(SLIM, BaseChoice.parse("infermatrix-test/empty:1"), client=engine, log_dir=tmp_path)
    finally:
        engine.images.remove("infermatrix-test/empty:1")


@pytest.mark.engine
def test_a_tree_imported_twice_is_the_same_base(engine: docker.DockerClient, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").symlink_to("python3.11")
    suite = "testsuite"
    try:
        first = import_tree(root, variant=BaseVariant.SLIM, suite=suite, age=1_700_000_000, client=engine)
        second = import_tree(root, variant=BaseVariant.SLIM, suite=suite, age=1_700_000_000, client=engine)
    finally:
        for image in engine.images.list(filters={"label": ["org.opencontainers.image.title=testsuite with Python"]}):
            engine.images.remove(str(image.id), force=True)
    assert first == second
    assert first.reference == "infermatrix/base:testsuite-slim"


def _wait(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            requests.get(url, timeout=2).raise_for_status()
            return
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
