"""Finds Python interpreters on this machine, and asks one what it holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from orchestrator.errors import BuildError
from orchestrator.images.context import DEFAULT_RUNNER
from orchestrator.images.runnerfiles import runner_digest, runner_files
from orchestrator.model import EnvSpec, IsolationKind, ReadyEnv, digest

_OLDEST = (3, 8)  # of those that a user names: the standard library of older ones cannot be asked for its packages
_TIMEOUT_S = 120.0

_WHO = "import json, platform, sys, venv; print(json.dumps(['%d.%d' % sys.version_info[:2], platform.machine(), " \
       "platform.python_implementation()]))"

# Runs in the interpreter that is asked; Python 3.8, standard library. Prints one JSON object after a marker.
_ASK = r"""
import sys
sys.path[:] = [place for place in sys.path if place]  # not the folder that Infermatrix happens to be started in
import importlib, json
from importlib import metadata
names = json.loads(sys.argv[1])
have = {}
for found in metadata.distributions():
    name = found.metadata["Name"]
    if name:
        have[name] = found.version
answers = {}
for name in names:
    try:
        dist = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        answers[name] = {"version": None, "error": "is not installed"}
        continue
    tops = {str(f).split("/")[0] for f in (dist.files or []) if str(f).endswith("__init__.py") and str(f).count("/") == 1}
    tops |= set((dist.read_text("top_level.txt") or "").split())
    plain = name.replace("-", "_")
    modules = [plain] if plain in tops or not tops else sorted(t for t in tops if not t.startswith("_"))
    error = None
    for module in modules:
        try:
            importlib.import_module(module)
            error = None
            break
        except BaseException as problem:
            error = "%s: %s" % (type(problem).__name__, problem)
    answers[name] = {"version": dist.version, "error": error}
print("\n@@" + json.dumps({"python": "%d.%d.%d" % sys.version_info[:3], "packages": have, "answers": answers}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A CPython that can make virtual environments."""

    path: Path
    python: str  # "3.11"
    machine: str


def interpreters(wanted: Iterable[str] = ()) -> Iterator[Interpreter]:
    """This Python first, then those on PATH and under pyenv, newest first; each version once.

    `wanted`: versions ("3.10") that are looked for whatever their age; others are from 3.10 on.
    """
    seen = set()
    for path in _candidates(wanted):
        found = identify(path)
        if found is not None and found.python not in seen:
            seen.add(found.python)
            yield found


def check_interpreter(path: Path, env: EnvSpec, *, runner_dir: Path = DEFAULT_RUNNER) -> ReadyEnv:
    """The Python that the user named, if the environment's backend and numpy can be imported in it.

    Raises BuildError where it does not run, is too old, lacks a package or holds another version than asked for.
    """
    names = ["numpy", *([canonicalize_name(env.version_of)] if env.version_of else [])]
    facts = _ask(path, names)
    version = tuple(int(part) for part in facts["python"].split(".")[:2])
    if version < _OLDEST:
        raise BuildError(f"{path} is Python {facts['python']}",
                         hint="One that is named must be Python 3.8 or newer; --isolation venv makes environments of older ones.")
    for name in names:
        answer = facts["answers"][name]
        if answer["version"] is None:
            raise BuildError(f"{path} cannot run {env.name}: {name} is not installed",
                             hint=f"Run: {path} -m pip install {name}")
        if answer["error"] is not None:
            raise BuildError(f"{path} cannot run {env.name}: {name} {answer['version']} fails to import "
                             f"({answer['error'][:200]})", hint=f"Try it: {path} -c 'import {name}'")
    held = facts["answers"][names[-1]]["version"]
    if env.version is not None and env.version not in (held, held.split("+")[0]):
        raise BuildError(f"{path} holds {names[-1]} {held}, but {env.version} was asked for",
                         hint="Name another interpreter, or leave the version out.")
    installed = {"path": str(path), "python": facts["python"], "packages": facts["packages"]}
    key = digest({**installed, "runner": runner_digest(runner_files(runner_dir, env))})
    return ReadyEnv(
        name=env.name, kind=IsolationKind.INTERPRETER, reference=str(path), digest=key, installed=digest(installed),
        python=str(path), size_mb=None, packages=len(facts["packages"]), prepare_s=0.0, source="given",
        null_reasons={"size_mb": "the interpreter was given, not installed by Infermatrix"},
    )


def _ask(path: Path, names: list[str]) -> dict[str, Any]:
    hint = "Name the python executable itself, for instance /opt/conda/envs/x/bin/python."
    try:
        done = subprocess.run([str(path), "-c", _ASK, json.dumps(names)], capture_output=True, text=True, check=False,
                              timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{path} cannot be run as a Python: {error}", hint=hint) from error
    answer = done.stdout.rpartition("\n@@")[2]
    try:
        facts: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        raise BuildError(f"{path} does not answer like Python 3.8 or newer: {last}", hint=hint) from error
    return facts


def _candidates(wanted: Iterable[str]) -> Iterator[Path]:
    yield Path(sys.executable)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    minors = {*range(10, 21), *(int(python.split(".")[1]) for python in wanted)}
    for minor in sorted(minors, reverse=True):
        found = shutil.which(f"python3.{minor}")
        if found:
            yield Path(found)
        for folder in sorted(versions.glob(f"3.{minor}.*"), reverse=True):
            yield folder / "bin" / "python3"


def identify(path: Path) -> Interpreter | None:
    """What that Python is; None where it is none that can be used."""
    try:  # pyenv's shims are on PATH for versions that are not switched on, and then fail
        done = subprocess.run([str(path), "-c", _WHO], capture_output=True, text=True, check=False, timeout=30,
                              stdin=subprocess.DEVNULL)
        python, machine, implementation = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(path=path, python=python, machine=machine) if implementation == "CPython" else None
