"""Runs the host's pip: its index, proxy and CA settings are the user's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

from orchestrator.errors import BuildError

_OLDEST_GLIBC_MINOR = 5
_QUIET = ("--disable-pip-version-check", "--no-input")
_BASE_GLIBC_MINOR = 36  # Debian bookworm's, the oldest base that is bootstrapped; newer wheels would not load there


def target_flags(*, python: str, machine: str) -> list[str]:
    """Makes pip choose wheels for that Python and machine instead of its own. Wheels only: nothing is compiled."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_BASE_GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1)]
    platforms += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    flags = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in platforms:
        flags += ["--platform", platform]
    return flags


def run_pip(arguments: Sequence[str], *, what: str, python: str | None = None) -> None:
    """Runs `pip` of this Python, acting on `python`'s environment where one is given.

    Raises BuildError with pip's own last error line; `what` says what was tried ("resolve the lock of x").
    """
    _run([sys.executable, "-m", "pip", *_QUIET, *(["--python", python] if python else []), *arguments], what=what)


def run_own_pip(python: str, arguments: Sequence[str], *, what: str) -> None:
    """Runs the pip that `python`'s environment itself holds. Raises BuildError."""
    _run([python, "-m", "pip", *_QUIET, *arguments], what=what)


def run_pip_script(script: str, arguments: Sequence[str], *, what: str) -> None:
    """Runs a script in this Python that drives its pip and takes pip's options. Raises BuildError."""
    _run([sys.executable, "-c", script, *_QUIET, *arguments], what=what)


def _run(command: list[str], *, what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise BuildError(f"cannot {what}: {command[0]} has no pip", hint=f"Run: {command[0]} -m ensurepip")
    raise BuildError(f"cannot {what}: {_reason(done.stderr or done.stdout)}",
                     hint="pip uses your own index, proxy and certificate settings (see: pip config list).")


def _reason(output: str) -> str:
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return str(errors[0] if errors else (lines[-1] if lines else "pip ended without a word"))[:400]
