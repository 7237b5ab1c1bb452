"""Makes the tree of a small Debian or Ubuntu with Python, from the mirror that this host's own apt uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path

from orchestrator.errors import BuildError
from orchestrator.images.pythons import related
from orchestrator.images.wheels import Progress, silent
from orchestrator.model import BaseVariant

_PACKAGES = {
    BaseVariant.SLIM: ("python3", "python3-pip", "ca-certificates"),
    BaseVariant.TOOLCHAIN: ("python3", "python3-pip", "ca-certificates", "g++", "python3-dev"),
}
# What a container never reads, or what only says when and where the tree was made. Licences (…/copyright) stay.
_LEFT_OUT = (
    "debootstrap", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "var/lib/apt/lists", "var/cache/apt", "var/log",
    "var/cache/ldconfig/aux-cache", "var/lib/dpkg/status-old", "var/lib/dpkg/diversions-old",
    "var/cache/debconf/templates.dat-old", "var/cache/debconf/config.dat-old", "usr/share/man", "usr/share/info",
    "usr/share/locale", "usr/share/lintian", "usr/share/groff", "tmp", "run",
)
_EMPTY_FOLDERS = ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log", "tmp", "run", "proc", "sys")


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Where packages come from."""

    url: str
    suite: str
    components: tuple[str, ...]
    keyring: str | None


def missing_for_bootstrap() -> str | None:
    """What keeps this process from bootstrapping a base, in a sentence; None where nothing does."""
    if shutil.which("debootstrap", path=_tool_path()) is None:
        return "debootstrap is not installed (apt-get install debootstrap)"
    return None if os.geteuid() == 0 else "debootstrap needs root"


def host_suite(*, etc: Path = Path("/etc")) -> str | None:
    """The suite that this host runs ("bookworm"); None where it does not say."""
    release = (etc / "os-release").read_text() if (etc / "os-release").is_file() else ""
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', release, re.MULTILINE)
    return match[1] if match else None


def host_mirror(*, etc: Path = Path("/etc"), suite: str | None = None) -> Mirror:
    """The distribution's own mirror among apt's sources, in both of apt's formats; of the host's suite or of another.

    A mirror of the host's suite has the distribution's other suites too. Raises BuildError where none fits.
    """
    own = host_suite(etc=etc)
    wanted = suite or own
    mirrors = [mirror for mirror in _apt_sources(etc / "apt") if "main" in mirror.components]
    for mirror in mirrors:
        if mirror.suite == wanted:
            return mirror
    for mirror in mirrors:
        if wanted and own and mirror.suite == own and related(wanted, own):
            return replace(mirror, suite=wanted)
    what = f"of {suite}" if suite else f"of its own suite ({own or 'unknown'})"
    raise BuildError(f"apt on this host knows no mirror {what}",
                     hint="A base is bootstrapped on Debian or Ubuntu only; elsewhere name one in a registry.")


def bootstrap_tree(root: Path, *, variant: BaseVariant, mirror: Mirror, debs: Path, log: Path,
                   progress: Progress = silent) -> int:
    """Fills `root` (must not exist) and trims it; returns the Unix time that stands for the tree's age.

    `debs` keeps downloaded packages for the next tree. Raises BuildError naming the log.
    """
    reason = missing_for_bootstrap()
    if reason:
        raise BuildError(f"a base image cannot be bootstrapped: {reason}",
                         hint="Or name one in a registry: --base python:3.11-slim-bookworm")
    debs.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    progress(f"bootstrapping a {variant.value} base of {mirror.suite} (about a minute)")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES[variant])}",
               f"--components={','.join(mirror.components)}", f"--cache-dir={debs}"]
    command += [f"--keyring={mirror.keyring}"] if mirror.keyring else []
    environment = {**os.environ, "PATH": _tool_path(), "LC_ALL": "C", **_apt_proxy()}
    with log.open("w") as file:
        done = subprocess.run([*command, mirror.suite, str(root), mirror.url], stdout=file, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, env=environment, check=False)
    if done.returncode != 0:
        raise BuildError(f"debootstrap of {mirror.suite} ended with {done.returncode}", hint=f"The whole log: {log}")
    age = _age(root)
    _trim(root)
    return age


def write_tree(root: Path, *, tar: Path, age: int) -> None:
    """Packs the tree so that equal trees give equal bytes: sorted, no owner names, no time later than `age`."""
    command = ["tar", "--create", f"--file={tar}", f"--directory={root}", "--sort=name", "--numeric-owner",
               f"--mtime=@{age}", "--clamp-mtime", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"the base's tree could not be packed: {done.stderr.strip()[:300]}",
                         hint="Is there room in the cache folder?")


def python_of(root: Path) -> str:
    """The tree's Python, like "3.11": the first on PATH. Raises BuildError where it has none."""
    first = next((path for path in (root / "usr/local/bin/python3", root / "usr/bin/python3") if path.is_symlink()), None)
    match = re.fullmatch(r"python(3\.\d+)", first.readlink().name) if first else None
    if match is None:
        raise BuildError(f"the tree {root} has no Python 3", hint="Bootstrap it again.")
    return match[1]


def _apt_sources(apt: Path) -> Iterator[Mirror]:
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        if path.suffix == ".list" and path.is_file():
            yield from _one_line_sources(path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            for stanza in re.split(r"\n\s*\n", path.read_text()):
                yield from _stanza_sources(stanza)


def _one_line_sources(text: str) -> Iterator[Mirror]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<url>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#]+)", line)
        if match:
            keyring = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield Mirror(url=match["url"], suite=match["suite"], components=tuple(match["rest"].split()),
                         keyring=_keyring(keyring[1] if keyring else ""))


def _stanza_sources(stanza: str) -> Iterator[Mirror]:
    lines = [line for line in stanza.splitlines() if not line.startswith("#")]
    fields = {key.strip().lower(): value.split() for key, _, value in (line.partition(":") for line in lines)}
    if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
        return
    keyring = _keyring(" ".join(fields.get("signed-by", [])))
    for url in fields.get("uris", []):
        for suite in fields.get("suites", []):
            yield Mirror(url=url, suite=suite, components=tuple(fields.get("components", [])), keyring=keyring)


def _keyring(value: str) -> str | None:
    return value if value.startswith("/") and Path(value).is_file() else None


def _apt_proxy() -> dict[str, str]:
    """debootstrap downloads with wget, which does not read apt's proxy."""
    try:
        done = subprocess.run(["apt-config", "shell", "P", "Acquire::http::Proxy"], capture_output=True, text=True,
                              check=False)
    except OSError:
        return {}
    match = re.search(r"P='(http[^']+)'", done.stdout)
    return {"http_proxy": match[1]} if match else {}


def _tool_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _age(root: Path) -> int:
    """`SOURCE_DATE_EPOCH`, else when the suite was released last: the same tree tomorrow has the same age."""
    if os.environ.get("SOURCE_DATE_EPOCH", "").isdigit():
        return int(os.environ["SOURCE_DATE_EPOCH"])
    for release in sorted((root / "var/lib/apt/lists").glob("*Release")):
        match = re.search(r"^Date: (.+)$", release.read_text(errors="replace"), re.MULTILINE)
        if match:
            return int(parsedate_to_datetime(match[1]).timestamp())
    return int((root / "etc/os-release").stat().st_mtime)


def _trim(root: Path) -> None:
    for name in _LEFT_OUT:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in (root / "usr/share/doc").rglob("*"):
        if path.name != "copyright" and (path.is_file() or path.is_symlink()):
            path.unlink()
    for name in _EMPTY_FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/machine-id").touch()
