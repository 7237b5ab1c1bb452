"""A virtual environment per environment, from the same locks and wheels as the images."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from orchestrator.errors import BuildError, NoPythonError, UnavailableError
from orchestrator.images.cache import cache_dir
from orchestrator.images.context import DEFAULT_RUNNER
from orchestrator.images.interpreters import Interpreter, identify, interpreters
from orchestrator.images.lockfile import Lock
from orchestrator.images.locks import find_lock, locked_pythons, read_lock
from orchestrator.images.parallel import make_each
from orchestrator.images.pip import run_own_pip, run_pip, target_flags
from orchestrator.images.pythons import pip_installs_elsewhere
from orchestrator.images.render import slug
from orchestrator.images.runnerfiles import runner_digest, runner_files
from orchestrator.images.wheels import Progress, fetch, link_into, silent
from orchestrator.model import BaseVariant, EnvSpec, IsolationKind, ReadyEnv, digest

_MARKER = "infermatrix.json"  # written last: a folder without it is a ruin of an interrupted installation


def ensure_venvs(envs: Iterable[EnvSpec], *, runner_dir: Path = DEFAULT_RUNNER, progress: Progress = silent,
                 parallel: int = 2) -> dict[EnvSpec, ReadyEnv | BuildError]:
    """Every environment, or why it could not be made: one that fails leaves the others alone."""
    return make_each(envs, lambda env: ensure_venv(env, runner_dir=runner_dir, progress=progress), parallel=parallel)


def ensure_venv(env: EnvSpec, *, python: Path | None = None, runner_dir: Path = DEFAULT_RUNNER,
                progress: Progress = silent) -> ReadyEnv:
    """The virtual environment of an environment, made once per lock and interpreter.

    `python`: the interpreter to use; without it the first that a lock exists for (this one, PATH, pyenv).
    Raises BuildError where there is none, or where the installation fails.
    """
    interpreter = _choose(env, python)
    lock = read_lock(find_lock(env, python=interpreter.python, machine=interpreter.machine))
    key = digest({"lock": lock.digest, "python": interpreter.python, "interpreter": str(interpreter.path.resolve())})
    folder = cache_dir() / "venvs" / f"{slug(env.name)}-{key[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        seconds = 0.0
        if not (folder / _MARKER).is_file():
            started = time.monotonic()
            _install(env, lock, interpreter, folder, progress=progress)
            seconds = time.monotonic() - started
            progress(f"{env.name}: virtual environment in {seconds:.0f} s")
        facts = json.loads((folder / _MARKER).read_text())
    runner = runner_digest(runner_files(runner_dir, env))
    return ReadyEnv(
        name=env.name, kind=IsolationKind.VENV, reference=str(folder), digest=digest({"venv": key, "runner": runner}),
        installed=key, python=str(folder / "bin" / "python"), size_mb=facts["size_mb"], packages=facts["packages"],
        prepare_s=round(seconds, 2), source="built" if seconds else "cached",
    )


def _choose(env: EnvSpec, python: Path | None) -> Interpreter:
    known = locked_pythons(env)
    if python is not None:
        return _named(python)
    for found in interpreters(known):
        if found.python in known or (env.version is not None and not known):
            return found
    if not known:
        raise UnavailableError(f"{env.name} has no lock for this machine", hint=f"Make one: infermatrix lock {env.name}")
    raise NoPythonError(
        f"{env.name} needs Python {' or '.join(known)}, and none is here",
        hint="Install one of them (it is looked for on PATH and under pyenv), or use docker isolation.")


def _named(python: Path) -> Interpreter:
    found = identify(python)
    if found is None:
        raise BuildError(f"{python} is no CPython that can make virtual environments",
                         hint="Name the python executable itself; on Debian, install python3-venv.")
    return found


def _install(env: EnvSpec, lock: Lock, interpreter: Interpreter, folder: Path, *, progress: Progress) -> None:
    """Fills `folder` in place (scripts in it name its path) and writes the marker last."""
    if env.base is BaseVariant.TOOLCHAIN and shutil.which("g++") is None:
        progress(f"{env.name}: no g++ on this machine; settings that compile while they run will fail")
    wheels = fetch(lock, extra_index_urls=env.extra_index_urls, progress=lambda m: progress(f"{env.name}: {m}"))
    shutil.rmtree(folder, ignore_errors=True)
    progress(f"{env.name}: installing {len(wheels)} packages for Python {interpreter.python}")
    done = subprocess.run([str(interpreter.path), "-m", "venv", "--without-pip", str(folder)], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{interpreter.path} cannot make a virtual environment: {done.stderr.strip()[-200:]}",
                         hint="On Debian, install python3-venv.")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheels-") as name:
        link_into(wheels, Path(name))
        lock_file = Path(name) / "lock.txt"
        lock_file.write_text(lock.wheels_text)
        flags = ["--quiet", "--no-index", f"--find-links={name}", "--require-hashes", "--no-deps"]
        _install_into(folder, interpreter, [*flags, f"--requirement={lock_file}"], what=f"install {env.name}")
        if lock.sdists_text:
            progress(f"{env.name}: building from source: {', '.join(pin.name for pin in lock.pins if pin.sdist)}")
            sources = Path(name) / "sdists.txt"
            sources.write_text(lock.sdists_text)
            # By the environment's own pip, which is in the lock: the host's may be of another Python.
            command = ["--isolated", "--no-cache-dir", "install", "--no-build-isolation", *flags, f"--requirement={sources}"]
            run_own_pip(str(folder / "bin" / "python"), command, what=f"build the sources of {env.name}")
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    facts = {"size_mb": round(size / 1e6, 1), "packages": len(lock.pins), "lock": lock.digest}
    partial = folder / f"{_MARKER}.tmp"
    partial.write_text(json.dumps(facts))
    partial.replace(folder / _MARKER)


def _install_into(folder: Path, interpreter: Interpreter, flags: list[str], *, what: str) -> None:
    """With the host's own pip, which a Python of another age cannot run: it then lays the files out for it, uncompiled."""
    python = str(folder / "bin" / "python")
    base = ["--isolated", "--no-cache-dir", "install"]
    if pip_installs_elsewhere(interpreter.python):
        run_pip([*base, *flags], what=what, python=python)
        return
    site = folder / "lib" / f"python{interpreter.python}" / "site-packages"
    target = target_flags(python=interpreter.python, machine=interpreter.machine)
    run_pip([*base, f"--target={site}", "--no-compile", *target, *flags], what=what)
    subprocess.run([python, "-m", "compileall", "-q", str(site)], capture_output=True, check=False)
