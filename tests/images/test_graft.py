"""A Python of this machine in the tree of a base."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.debootstrap import python_of, write_tree
from orchestrator.images.graft import graft, named_interpreter
from orchestrator.images.interpreters import Interpreter
from orchestrator.images.wheels import sha256_of
from tests.images.wheelhouse import make_wheel

ASK = "import ctypes, json, pip, sys, venv, zlib; print(json.dumps([sys.base_prefix, pip.__version__, pip.__file__]))"


NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="ldconfig in another root needs root")
NEEDS_A_FOLDER = pytest.mark.skipif(Path(sys.base_prefix).resolve() in map(Path, ("/usr", "/usr/local")),
                                    reason="a Python of the system's own")


def make_root(root: Path) -> Path:
    """As much of a base's tree as matters here."""
    for folder in ("usr/local/bin", "usr/local/lib", "usr/bin", "etc", "var/cache/ldconfig"):
        (root / folder).mkdir(parents=True)
    (root / "etc/ld.so.conf").write_text("/usr/local/lib\n")
    (root / "usr/bin/python3").symlink_to("python3.99")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.mark.slow
@NEEDS_ROOT
@NEEDS_A_FOLDER
def test_it_is_the_trees_first_python_and_has_a_pip_of_its_own(root: Path, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "pip", "9.9")
    graft(root, named_interpreter(Path(sys.executable)))
    assert python_of(root) == "{}.{}".format(*sys.version_info)
    place = root / "usr/local"
    done = subprocess.run([str(place / "bin/python3"), "-I", "-c", ASK], capture_output=True, text=True, check=True,
                          env={"LD_LIBRARY_PATH": str(place / "lib")})
    prefix, version, file = json.loads(done.stdout)
    assert (prefix, version) == (str(place), "9.9")
    assert Path(file).is_relative_to(place)


@pytest.mark.slow
@NEEDS_ROOT
@NEEDS_A_FOLDER
def test_the_same_python_gives_the_same_tree(tmp_path: Path, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "pip", "9.9")
    packed = []
    for name in ("one", "two"):
        root = make_root(tmp_path / name)
        graft(root, named_interpreter(Path(sys.executable)))
        write_tree(root, tar=tmp_path / f"{name}.tar", age=0)
        packed.append(sha256_of(tmp_path / f"{name}.tar"))
    assert packed[0] == packed[1]


def test_a_python_of_the_distributions_own_has_no_folder_to_copy(root: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\necho '\"/usr\"'\n")
    fake.chmod(0o755)
    with pytest.raises(BuildError, match="no folder of its own"):
        graft(root, Interpreter(path=fake, python="3.11", machine="x86_64"))


def test_what_is_no_python_is_refused() -> None:
    with pytest.raises(BuildError, match="is no CPython"):
        named_interpreter(Path("/bin/true"))
