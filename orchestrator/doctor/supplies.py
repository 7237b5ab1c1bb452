"""What a first run consumes beside images: disk and Python interpreters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.engine import EngineAnswer
from orchestrator.images.lockfile import parse_lock_name

NEEDED_GB = 12.0  # the default matrix: wheels, models and either images or virtual environments
_CAN_VENV = """
import sys, importlib.util as u
print(sys.version_info[1], bool(u.find_spec("venv") and u.find_spec("ensurepip")))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python found on this machine."""

    version: str  # "3.11"
    path: str
    has_venv: bool


def check_disk(cache: Path, answer: EngineAnswer, *, needed_gb: float = NEEDED_GB) -> tuple[Check, ...]:
    """Free space of the cache and, where it is on this machine, of the engine's images."""
    places = [("cache", cache)]
    if answer.available and answer.local and answer.data_root:
        places.append(("engine", Path(answer.data_root)))
    return tuple(_judge_disk(name, path, free_mb(path), needed_gb) for name, path in places)


def _judge_disk(name: str, path: Path, free: float | None, needed_gb: float) -> Check:
    if free is None:
        return Check(name="disk", verdict=Verdict.NOTE, found=f"{name} {path}: cannot be looked at")
    free_gb = free / 1e3
    found = f"{name} {path}: {free_gb:.1f} GB free"
    if free_gb >= needed_gb:
        return Check(name="disk", verdict=Verdict.GOOD, found=found)
    where = "set INFERMATRIX_CACHE to a larger disk" if name == "cache" else "move the engine's data root (data-root)"
    todo = f"{where}, or free space: the default matrix takes about {needed_gb:g} GB"
    verdict = Verdict.BAD if free_gb < needed_gb / 4 else Verdict.WARN
    return Check(name="disk", verdict=verdict, found=found, do=todo)


def free_mb(path: Path) -> float | None:
    """Of the file system that `path` is on or will be made on; None where it cannot be asked."""
    for folder in (path, *path.parents):  # the folder itself may not have been made yet
        try:
            return shutil.disk_usage(folder).free / 1e6
        except OSError:
            continue
    return None


def locked_pythons(images: Path, machine: str) -> dict[str, frozenset[str]]:
    """For each environment below `images` ("ncnn/converter"), the Pythons ("3.11") that it has a lock for on this machine."""
    found: dict[str, set[str]] = {}
    for path in sorted(images.rglob("lock-*.txt")):
        lock = parse_lock_name(path.name)
        if lock is not None:
            found.setdefault(path.parent.relative_to(images).as_posix(), set()).update({lock[0]} if lock[1] == machine else ())
    return {name: frozenset(pythons) for name, pythons in found.items()}


def find_pythons(minors: Iterable[int] = range(6, 15)) -> tuple[Interpreter, ...]:
    """Interpreters on PATH and under pyenv that start; a pyenv shim of an inactive version does not."""
    found: dict[str, Interpreter] = {}
    for minor in minors:
        own = [sys.executable] if sys.version_info[:2] == (3, minor) else []
        on_path = shutil.which(f"python3.{minor}")
        pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/python3.{minor}"))
        for path in (*own, *([on_path] if on_path else []), *map(str, pyenv)):
            has_venv = _has_venv(path, minor)
            if has_venv is not None and f"3.{minor}" not in found:
                found[f"3.{minor}"] = Interpreter(version=f"3.{minor}", path=path, has_venv=has_venv)
            if has_venv:
                found[f"3.{minor}"] = Interpreter(version=f"3.{minor}", path=path, has_venv=True)
                break
    return tuple(found.values())


def _has_venv(path: str, minor: int) -> bool | None:
    """Whether the interpreter can make virtual environments with pip; None where it does not start."""
    try:
        done = subprocess.run([path, "-I", "-c", _CAN_VENV], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    return words[1] == "True" if done.returncode == 0 and words[:1] == [str(minor)] else None


def check_pythons(locked: Mapping[str, Set[str]], found: Sequence[Interpreter]) -> tuple[Check, ...]:
    """Which environments `venv` isolation can install from their locks with the interpreters of this machine."""
    able = {python.version for python in found if python.has_venv}
    here = {python.version for python in found}
    lacking = {name: pythons for name, pythons in locked.items() if not pythons & able}
    versions = ", ".join(python.version for python in found) or "none"
    text = f"{versions}: {len(locked) - len(lacking)} of {len(locked)} environments"
    if not lacking:
        return (Check(name="pythons", verdict=Verdict.GOOD, found=text),)
    text += f"; not {', '.join(sorted(lacking)[:4])}" + (" …" if len(lacking) > 4 else "")
    bare = sorted({version for pythons in lacking.values() for version in pythons & here})
    wanted = Counter(version for pythons in lacking.values() for version in pythons).most_common(1)
    if bare:
        todo = f"apt install python{bare[0]}-venv (needed for --isolation venv only)"
    elif wanted:
        todo = f"install Python {wanted[0][0]} for --isolation venv; containers bring their own Python"
    else:
        todo = "lock the backends for this architecture (infermatrix lock)"
    verdict = Verdict.WARN if len(lacking) == len(locked) else Verdict.NOTE
    return (Check(name="pythons", verdict=verdict, found=text, do=todo),)
