"""Puts a Python of this machine into the tree of a base, for one that no suite of the distribution has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from orchestrator.errors import BuildError
from orchestrator.images.interpreters import Interpreter, identify
from orchestrator.images.pip import run_pip, target_flags

WHERE = "usr/local"  # before /usr on PATH, and among the folders that the loader's cache covers
_HOME = "import json, sys; print(json.dumps(sys.base_prefix))"
_OF_THE_SYSTEM = {Path("/"), Path("/usr"), Path("/usr/local")}
# What neither a trial nor an installation reads; site-packages are the user's own, and pip is put there anew.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
                                   "_tkinter*.so", "_test*.so", "lib2to3", "ensurepip", "config-*", "*.a")


def named_interpreter(path: Path) -> Interpreter:
    """The Python at that path. Raises BuildError where it is none."""
    found = identify(path)
    if found is None:
        raise BuildError(f"{path} is no CPython that runs", hint="Name the python executable itself, not a shim of pyenv's.")
    return found


def graft(root: Path, interpreter: Interpreter) -> None:
    """Copies the interpreter's own tree to /usr/local of `root`, with the last pip that was made for it.

    Raises BuildError where it has no tree of its own (a distribution's Python), or where pip cannot be had.
    """
    home = _home(interpreter)
    library = f"python{interpreter.python}"
    if home in _OF_THE_SYSTEM or not (home / "lib" / library / "os.py").is_file():
        raise BuildError(f"{interpreter.path} has no folder of its own that could be copied (it lives in {home})",
                         hint="A Python that pyenv or `make install` put into a folder of its own can be.")
    target = root / WHERE
    shutil.copytree(home / "lib" / library, target / "lib" / library, symlinks=True, ignore=_LEFT_OUT)
    for shared in sorted((home / "lib").glob("libpython*.so*")):
        shutil.copy2(shared, target / "lib", follow_symlinks=False)
    if (home / "include").is_dir():
        shutil.copytree(home / "include", target / "include", symlinks=True, dirs_exist_ok=True)
    shutil.copy2((home / "bin" / library).resolve(), target / "bin" / library)
    for name in ("python3", "python"):
        (target / "bin" / name).symlink_to(library)
    _add_pip(target / "lib" / library / "site-packages", interpreter)
    # A shared libpython is found through the loader's cache: the path that is written into the executable is the host's.
    done = subprocess.run(["ldconfig", "-r", str(root)], capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])})
    if done.returncode != 0:
        raise BuildError(f"ldconfig failed in the new base: {done.stderr.strip()[:200]}", hint="It needs root.")
    (root / "var/cache/ldconfig/aux-cache").unlink(missing_ok=True)  # names inodes: another one each time


def _home(interpreter: Interpreter) -> Path:
    done = subprocess.run([str(interpreter.path), "-I", "-c", _HOME], capture_output=True, text=True, check=False)
    try:
        return Path(json.loads(done.stdout)).resolve()
    except ValueError as error:
        raise BuildError(f"{interpreter.path} does not say where it lives",
                         hint="Name the python executable itself, not a shim of pyenv's.") from error


def _add_pip(site: Path, interpreter: Interpreter) -> None:
    """One of its own age often cannot read the names of newer wheels."""
    site.mkdir()
    flags = target_flags(python=interpreter.python, machine=interpreter.machine)
    run_pip(["install", "--quiet", "--no-compile", "--no-deps", f"--target={site}", *flags, "pip"],
            what=f"find a pip for Python {interpreter.python}")
    shutil.rmtree(site / "bin", ignore_errors=True)  # scripts that name the Python which ran pip; `python3 -m pip` needs none
