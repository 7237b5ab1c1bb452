"""Where the Debian packages of a base come from, and how its tree is packed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.images.debootstrap import host_mirror, python_of, write_tree

STANZAS = """# comment
Types: deb
URIs: http://vendor.example/apt
Suites: stable
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
# Suites: sid
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /nowhere/keyring.gpg
"""
LINES = """# deb http://old.example/debian bookworm main
deb-src http://src.example/debian bookworm main
deb [arch=amd64 signed-by=/nowhere/key.gpg] http://mirror.example/ubuntu noble main universe # fast
"""


def etc(root: Path, *, codename: str, files: dict[str, str]) -> Path:
    (root / "apt" / "sources.list.d").mkdir(parents=True)
    (root / "os-release").write_text(f'NAME="x"\nVERSION_CODENAME={codename}\n')
    for name, text in files.items():
        (root / "apt" / name).write_text(text)
    return root


def test_the_mirror_comes_from_deb822_stanzas(tmp_path: Path) -> None:
    mirror = host_mirror(etc=etc(tmp_path, codename="bookworm", files={"sources.list.d/debian.sources": STANZAS}))
    assert (mirror.url, mirror.suite, mirror.components) == ("http://mirror.example/debian", "bookworm", ("main", "contrib"))
    assert mirror.keyring is None  # a keyring that does not exist is not named


def test_the_mirror_comes_from_one_line_sources(tmp_path: Path) -> None:
    mirror = host_mirror(etc=etc(tmp_path, codename="noble", files={"sources.list": LINES}))
    assert (mirror.url, mirror.components) == ("http://mirror.example/ubuntu", ("main", "universe"))


def test_a_vendors_repository_is_no_mirror(tmp_path: Path) -> None:
    folder = etc(tmp_path, codename="trixie", files={"sources.list.d/debian.sources": STANZAS})
    with pytest.raises(BuildError, match=r"no mirror of its own suite \(trixie\)"):
        host_mirror(etc=folder)


def test_a_host_that_is_no_debian_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="unknown"):
        host_mirror(etc=tmp_path)


def test_equal_trees_give_equal_bytes_whenever_they_were_made(tmp_path: Path) -> None:
    tars = []
    for run, moment in (("first", 2_000_000_000), ("second", 2_100_000_000)):
        root = tmp_path / run / "root"
        for name in ("usr/bin/b", "usr/bin/a", "dev/null", "proc/1"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        for path in [root, *root.rglob("*")]:
            os.utime(path, (moment, moment))
        tars.append(tmp_path / f"{run}.tar")
        write_tree(root, tar=tars[-1], age=1_700_000_000)
    assert tars[0].read_bytes() == tars[1].read_bytes()
    assert b"usr/bin/a" in tars[0].read_bytes()
    assert b"dev/null" not in tars[0].read_bytes()


def test_the_trees_python_is_read_from_its_link(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    with pytest.raises(BuildError, match="no Python 3"):
        python_of(tmp_path)
    (tmp_path / "usr/bin/python3").symlink_to("python3.12")
    assert python_of(tmp_path) == "3.12"
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/python3").symlink_to("python3.6")  # comes first on PATH
    assert python_of(tmp_path) == "3.6"


def test_the_mirror_of_the_hosts_suite_has_the_distributions_other_suites(tmp_path: Path) -> None:
    folder = etc(tmp_path, codename="bookworm", files={"sources.list.d/debian.sources": STANZAS})
    mirror = host_mirror(etc=folder, suite="bullseye")
    assert (mirror.url, mirror.suite) == ("http://mirror.example/debian", "bullseye")
    with pytest.raises(BuildError, match="knows no mirror of jammy"):
        host_mirror(etc=folder, suite="jammy")
