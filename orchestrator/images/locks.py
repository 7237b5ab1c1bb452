"""Resolves, finds and checks lock files."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from packaging.utils import canonicalize_name

from orchestrator.errors import BuildError
from orchestrator.images.cache import cache_dir
from orchestrator.images.indexes import run_pip_anywhere
from orchestrator.images.lockfile import (
    BUILDER,
    Lock,
    Pin,
    Wanted,
    format_lock,
    lock_name,
    parse_lock,
    parse_lock_name,
    parse_requirements,
    requirements_digest,
    with_version,
)
from orchestrator.images.pip import target_flags
from orchestrator.images.sdists import sdist_pin
from orchestrator.model import EnvSpec


def make_lock(env: EnvSpec, *, python: str = "3.11", machine: str = "x86_64", version: str | None = None) -> Path:
    """Resolves requirements.in with pip and writes the lock: beside it, or into the cache where `version` is another.

    Needs the network; runs no package's code. Raises BuildError where pip finds no solution of wheels (and of source
    distributions, where requirements.in asks for them).
    """
    wanted = requirements(env, version=version)
    pins = _resolve(env, wanted, python=python, machine=machine)
    digest = requirements_digest(wanted)
    text = format_lock(env_name=env.name, python=python, machine=machine, requirements=digest, pins=pins)
    folder = env.folder if version is None else _version_folder(env, version, digest)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / lock_name(python, machine)
    partial = path.with_suffix(".tmp")
    partial.write_text(text)
    partial.replace(path)
    return path


def requirements(env: EnvSpec, *, version: str | None = None) -> tuple[Wanted, ...]:
    """What the environment asks for, with the distribution at another version where one is given."""
    source = env.folder / "requirements.in"
    try:
        wanted = parse_requirements(source.read_text(), origin=str(source))
    except FileNotFoundError as error:
        raise BuildError(f"{env.name} has no requirements.in", hint=f"Expected {source}.") from error
    if version is None:
        return wanted
    if env.version_of is None:
        raise BuildError(f"{env.name} cannot be had in version {version}: it names no distribution",
                         hint="Add `distribution:` to its backend.yaml.")
    return with_version(wanted, distribution=env.version_of, version=version)


def locked_pythons(env: EnvSpec, *, machine: str | None = None) -> tuple[str, ...]:
    """The Pythons that the environment's folder has locks for, newest first."""
    machine = machine or platform.machine()
    names = (parse_lock_name(path.name) for path in env.folder.glob("lock-*.txt"))
    found = {target[0] for target in names if target and target[1] == machine}
    return tuple(sorted(found, key=lambda p: tuple(map(int, p.split("."))), reverse=True))


def find_lock(env: EnvSpec, *, python: str, machine: str | None = None) -> Path:
    """The lock for that Python: the folder's, or one resolved on demand where the entry asks for another version.

    Raises BuildError naming the locks that exist, or saying that requirements.in has changed since.
    """
    machine = machine or platform.machine()
    if env.version is not None and env.version_of is not None and not _is_locked_version(env, python, machine):
        return _versioned_lock(env, env.version, python=python, machine=machine)
    path = env.folder / lock_name(python, machine)
    if not path.is_file():
        existing = ", ".join(sorted(p.name for p in env.folder.glob("lock-*.txt"))) or "none"
        raise BuildError(
            f"{env.name} has no lock for Python {python} on {machine} (locks: {existing})",
            hint=f"Use a base or interpreter that a lock exists for, or make one: "
                 f"infermatrix lock {env.name} --python {python}",
        )
    source = env.folder / "requirements.in"
    if source.is_file() and read_lock(path).requirements != requirements_digest(requirements(env)):
        raise BuildError(f"{source} has changed since {path.name} was made",
                         hint=f"Make the lock again: infermatrix lock {env.name} --python {python}")
    return path


def read_lock(path: Path) -> Lock:
    """Parses a lock file. Raises BuildError."""
    return parse_lock(path.read_text(), name=path.name)


def _is_locked_version(env: EnvSpec, python: str, machine: str) -> bool:
    path = env.folder / lock_name(python, machine)
    if not path.is_file() or env.version_of is None:
        return False
    locked = read_lock(path).version_of(env.version_of)
    return locked is not None and env.version in (locked, locked.split("+")[0])


def _versioned_lock(env: EnvSpec, version: str, *, python: str, machine: str) -> Path:
    digest = requirements_digest(requirements(env, version=version))
    path = _version_folder(env, version, digest) / lock_name(python, machine)
    return path if path.is_file() else make_lock(env, python=python, machine=machine, version=version)


def _version_folder(env: EnvSpec, version: str, digest: str) -> Path:
    return cache_dir() / "locks" / f"{env.name.replace('/', '-')}-{version}-{digest[:12]}"


def _resolve(env: EnvSpec, wanted: tuple[Wanted, ...], *, python: str, machine: str) -> list[Pin]:
    with tempfile.TemporaryDirectory(prefix="infermatrix-lock-") as folder:
        scratch = Path(folder)
        alone = [w.requirement for w in wanted if not w.with_deps]
        # What is installed without its own requirements still binds the others: onnx2torch asks for torchvision too.
        constraints = scratch / "constraints.txt"
        constraints.write_text("\n".join(alone) + "\n")
        pins: dict[str, Pin] = {}
        for with_deps in (True, False):
            chosen = [w.requirement for w in wanted if w.with_deps is with_deps and not w.sdist]
            if not chosen:
                continue
            report = scratch / f"report-{with_deps}.json"
            flags = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report),
                     "--target", str(scratch / "none"), "--constraint", str(constraints),
                     *target_flags(python=python, machine=machine), *([] if with_deps else ["--no-deps"])]
            run_pip_anywhere([*flags, *chosen], env.extra_index_urls, what=f"resolve the lock of {env.name}")
            for item in json.loads(report.read_text())["install"]:
                pin = _pin(item, partial(_fetched, env, python, machine, scratch))
                pins.setdefault(pin.name, pin)
    sources = [w.requirement for w in wanted if w.sdist]
    if sources and BUILDER not in pins:
        raise BuildError(f"{env.name} holds {', '.join(sources)} as source, and no {BUILDER} to build it with",
                         hint=f"Add {BUILDER} and what the build needs (setuptools, wheel) to requirements.in.")
    pins.update({pin.name: pin for pin in (sdist_pin(r, python=python, extra_index_urls=env.extra_index_urls) for r in sources)})
    return list(pins.values())


def _pin(item: dict[str, Any], fetched: Callable[[str], Path]) -> Pin:
    """One entry of pip's installation report (pip's "report" format, version 1)."""
    source, name, version = item["download_info"], canonicalize_name(item["metadata"]["name"]), item["metadata"]["version"]
    sha256 = source.get("archive_info", {}).get("hashes", {}).get("sha256")
    if sha256 is None:  # its index told no hash, and older pips work none out
        where = urlparse(source["url"])
        path = Path(unquote(where.path)) if where.scheme == "file" else fetched(f"{name}=={version}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Pin(name=name, version=version, sha256=(sha256,))


def _fetched(env: EnvSpec, python: str, machine: str, scratch: Path, wanted: str) -> Path:
    """The wheel of `name==version`, downloaded. Raises BuildError."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    flags = ["download", "--quiet", "--no-deps", "--dest", str(folder), *target_flags(python=python, machine=machine)]
    run_pip_anywhere([*flags, wanted], env.extra_index_urls, what=f"fetch {wanted}")
    return next(folder.glob("*.whl"))
