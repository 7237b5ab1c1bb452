"""Trials without an engine: a process in a virtual environment, or in an interpreter that the user names.

Same runner, same records; what a container would enforce and a bare process cannot is said in the record.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from orchestrator.errors import BuildError
from orchestrator.isolation.base import LOG_TAIL_BYTES, RESULT_FILE, Laps, Stop, place
from orchestrator.isolation.events import read_events
from orchestrator.model import Ending, EnvSpec, IsolationKind, Outcome, ReadyEnv, RunRequest

LOOK_S = 0.5  # between looks at memory, log and stop requests
TERM_GRACE_S = 3.0
COMPILE_LIMIT_S = 60.0
MAX_LOG_BYTES = 64 << 20
NOT_ENFORCED = ("network", "read-only root", "memory (watched, not enforced)", "processes", "user")
PrepareEnvs = Callable[[Mapping[str, EnvSpec], Callable[[str], None]], Mapping[str, "ReadyEnv | BuildError"]]


class LocalIsolation:
    """Runs each request as a process of its own session on this machine."""

    def __init__(self, kind: IsolationKind, runner: Path, prepare: PrepareEnvs) -> None:
        self.kind = kind
        self._runner = runner
        self._prepare = prepare
        self._compiled: set[str] = set()  # interpreters that the runner was compiled for

    def prepare(self, envs: Mapping[str, EnvSpec], say: Callable[[str], None]) -> Mapping[str, ReadyEnv | BuildError]:
        """Create (or check) an environment per spec."""
        return self._prepare(envs, say)

    def close(self) -> None:
        """Nothing outlives a process here."""

    def stage(self, folders: Iterable[Path], env: ReadyEnv) -> None:  # noqa: ARG002
        """Compile the runner for that Python: trials read the folders where they are, but must not write bytecode themselves."""
        if env.python not in self._compiled:
            self._compiled.add(env.python)
            command = [env.python, "-m", "compileall", "-q", str(self._runner.parent)]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # without, each trial compiles: 20 ms
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=COMPILE_LIMIT_S)

    def keep(self, folder: Path, env: ReadyEnv) -> str | None:  # noqa: ARG002
        """The folder itself."""
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            return f"{folder} cannot be made: {error}"
        return None

    def keeps(self, folder: Path) -> bool:
        """Whether the folder is there."""
        return folder.is_dir()

    def run(self, request: RunRequest, stop: Stop) -> Outcome:
        """One process from start to end; its whole session is killed at the deadline."""
        started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        out = request.out_dir
        if out.exists():
            shutil.rmtree(out)
        scratch = out.with_name(out.name + ".tmp")
        scratch.mkdir(parents=True, exist_ok=True)
        out.mkdir(parents=True)
        job_file = scratch / "job.json"
        job_file.write_text(json.dumps({**place(request.job, str), "die_with_parent": True}))
        begin, laps = time.monotonic(), Laps()
        log = scratch / "log"
        try:
            with log.open("wb") as sink:
                process = self._start(request, job_file, scratch, sink)
                laps.lap("start")
                if request.on_start is not None:
                    request.on_start(process.pid)
                ending, over_memory = _watch(process, request, stop, begin, log)
            laps.lap("run")
            code = process.returncode
            outcome = Outcome(
                ending=ending, exit_code=128 - code if code < 0 else code, oom_killed=over_memory, log_tail=_tail(log),
                wall_s=time.monotonic() - begin, started=started, container_start_ms=None,
                result_file=out / RESULT_FILE if (out / RESULT_FILE).is_file() else None, events=read_events(out),
                not_enforced=NOT_ENFORCED,
            )
            laps.lap("collect")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        laps.lap("remove")
        return replace(outcome, isolation_ms=laps.ms)

    def _start(self, request: RunRequest, job: Path, scratch: Path, sink: IO[bytes]) -> subprocess.Popen[bytes]:
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        env = {**keep, "HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
        env["CUDA_VISIBLE_DEVICES"] = request.gpu or ""  # a CPU's cell must not find a GPU either
        allowed = os.sched_getaffinity(0)
        # The child inherits the affinity of the thread that forks it: no code runs between fork and exec.
        os.sched_setaffinity(0, set(request.limits.cpus))
        try:
            return subprocess.Popen(
                [request.env.python, str(self._runner), "--job", str(job), "--out", str(request.out_dir)],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=scratch,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, allowed)


def _watch(
    process: subprocess.Popen[bytes], request: RunRequest, stop: Stop, begin: float, log: Path
) -> tuple[Ending, bool]:
    """Wait for the end; returns it and whether the process was killed for the memory it took."""
    handle = os.pidfd_open(process.pid)  # waiting on it costs the measured process nothing
    try:
        while True:
            left = begin + request.deadline_s - time.monotonic()
            ended, _, _ = select.select([handle], [], [], max(0.0, min(LOOK_S, left)))
            if ended:
                process.wait()
                return Ending.EXITED, False
            if stop.requested or left <= 0:
                _end(process)
                return (Ending.INTERRUPTED if stop.requested else Ending.DEADLINE), False
            if resident_mb(process.pid) > request.limits.memory_mb:
                return Ending.EXITED, True
            if log.stat().st_size > MAX_LOG_BYTES:  # a container's log is capped by the engine, a file is not
                os.truncate(log, 0)
    finally:
        os.close(handle)
        _kill(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TERM_GRACE_S)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Everything of the session, also what the process left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its descendants in MB; 0 once it is gone."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    todo = [pid]
    while todo:
        current = todo.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{current}/statm").read_text().split()[1]) * page
            for task in Path(f"/proc/{current}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
    return total / (1 << 20)


def _tail(log: Path) -> str:
    with log.open("rb") as source:
        source.seek(0, os.SEEK_END)
        source.seek(max(0, source.tell() - LOG_TAIL_BYTES))
        return source.read().decode("utf-8", "replace")
