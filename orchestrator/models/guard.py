"""A child process that cannot outlive its deadline or eat the machine's memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

import orchestrator

_POLL_S = 0.02
_TAIL = 2000
_MEMORY_SHARE = 0.8
_MEMORY_EVERY_S = 0.2
# numpy's BLAS: one thread gives the same bits on every machine, and is four times faster where other work shares the cores.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the child ended; `killed_for` says what the guard ended it for."""

    exit_code: int
    killed_for: str | None
    tail: str  # of its stderr


def memory_limit() -> int:
    """Bytes a child may hold: most of what is free now."""
    return int(psutil.virtual_memory().available * _MEMORY_SHARE)


def run_module(module: str, arguments: list[str], *, deadline_s: float, memory_bytes: int, log: Path) -> Ended:
    """Runs `python -m module` with this interpreter and this package, wherever it was started from."""
    root = str(Path(orchestrator.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", **_ONE_THREAD}
    with log.open("wb") as stderr:
        child = subprocess.Popen([sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=stderr, env=environment)
        try:
            killed_for = _watch(child, deadline_s, memory_bytes)
        finally:
            if child.poll() is None:
                child.kill()
            code = child.wait()
    tail = log.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
    return Ended(exit_code=code, killed_for=killed_for, tail=tail)


def _watch(child: subprocess.Popen[bytes], deadline_s: float, memory_bytes: int) -> str | None:
    started = time.monotonic()
    looked = started
    try:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            now = time.monotonic()
            if now - started > deadline_s:
                return f"it took longer than {deadline_s:g} s"
            if now - looked > _MEMORY_EVERY_S:
                looked = now
                if process.memory_info().rss > memory_bytes:
                    return f"it needed more than {memory_bytes / 1e9:.1f} GB of memory"
            time.sleep(_POLL_S)
    except psutil.NoSuchProcess:
        child.wait()
    return None
