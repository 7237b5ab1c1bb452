"""Trials in containers: the one module that starts them, and takes their results back, through the Docker SDK.

Every container is hardened alike (design §4): not root, read-only root, no network, no capabilities, limited
memory, processes and CPUs, `--init` (Python as PID 1 ignores SIGTERM), inputs and results through volumes (bind
mounts break on remote engines), kept until it was inspected.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests

from orchestrator.errors import BuildError
from orchestrator.isolation.archive import CHUNK, TooLargeError, extract_bounded, file_archive
from orchestrator.isolation.base import ENGINE_ERRORS, LOG_TAIL_BYTES, RESULT_FILE, Laps, Stop, place
from orchestrator.isolation.events import read_events
from orchestrator.isolation.gpurequest import gpu_request
from orchestrator.isolation.keeping import INSIDE, MOUNT, Keeping, volume_of
from orchestrator.isolation.leftovers import Leftovers
from orchestrator.isolation.network import EmptyNetwork
from orchestrator.isolation.owner import LABEL, RUN_LABEL, Owner
from orchestrator.isolation.staging import Staging
from orchestrator.meters.processes import is_of_container
from orchestrator.model import Ending, EnvSpec, IsolationKind, Outcome, ReadyEnv, RunRequest

IO_DIR = "/mx/io"
RUNNER = "/opt/infermatrix/runners/run.py"
USER_ID = 65532
USER = f"{USER_ID}:{USER_ID}"
WAIT_STEP_S = 1  # how long a stop request may go unnoticed
ALIVE_EVERY_S = 10  # how long an engine that went away without a word may
TERM_GRACE_S = 3
TMP_SIZE = "2g"
ENGINE_TIMEOUT_S = 60
MAX_FILES = 10_000
MAX_FILE_BYTES = 2 << 30
# A job travels as an argument, which spares 60–100 ms of archive upload per trial; the kernel takes 128 KiB each.
MAX_ARGUMENT_BYTES = 100_000
JOB_FILE = "job.json"
PrepareEnvs = Callable[[Mapping[str, EnvSpec], Callable[[str], None]], Mapping[str, "ReadyEnv | BuildError"]]


class DockerIsolation:
    """Runs each request in a container of its own on one engine."""

    kind = IsolationKind.DOCKER

    def __init__(self, client: docker.DockerClient, run_id: str, prepare: PrepareEnvs) -> None:
        self._api = client.api
        self._run_id = run_id
        self._prepare = prepare
        self._labels = {LABEL: str(Owner.this_process()), RUN_LABEL: run_id}
        self._staging = Staging(client.api, run_id, self._labels)
        self._keeping = Keeping(client.api, self._labels, USER_ID)
        self._network = EmptyNetwork(client.api, run_id, self._labels)
        self._leftovers = Leftovers(client.api)
        self._info = cache(client.api.info)  # once per run: which way it gives containers GPUs

    def prepare(self, envs: Mapping[str, EnvSpec], say: Callable[[str], None]) -> Mapping[str, ReadyEnv | BuildError]:
        """Build (or find) an image per environment."""
        return self._prepare(envs, say)

    def stage(self, folders: Iterable[Path], env: ReadyEnv) -> None:
        """Fill a volume per folder, and make the network that trials join."""
        with contextlib.suppress(*ENGINE_ERRORS):
            self._network.mode(env.reference, env.python)
            for folder in folders:
                self._staging.volume(folder, env.reference)

    def keep(self, folder: Path, env: ReadyEnv) -> str | None:
        """A volume that no run removes."""
        try:
            self._keeping.make(folder, env.reference)
        except ENGINE_ERRORS as error:
            return f"the engine cannot make the volume {volume_of(folder)}: {_first_line(error)}"
        return None

    def keeps(self, folder: Path) -> bool:
        """Whether this engine has that volume."""
        return self._keeping.has(folder)

    def run(self, request: RunRequest, stop: Stop) -> Outcome:
        """One container from create to remove; an engine that fails meanwhile gives `Ending.LOST`."""
        started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        begin, laps = time.monotonic(), Laps()
        try:
            with self._container(request) as container:
                laps.lap("create")
                self._leftovers.settle()
                laps.lap("remove")  # as far as creating did not hide it
                return self._follow(container, request, stop, started, begin, laps)
        except (*ENGINE_ERRORS, TooLargeError) as error:
            lost = not isinstance(error, TooLargeError)
            return Outcome(
                ending=Ending.LOST if lost else Ending.EXITED, exit_code=None, oom_killed=False, log_tail="",
                wall_s=time.monotonic() - begin, started=started, container_start_ms=None, result_file=None, events=(),
                detail=f"{'the engine failed' if lost else 'the output was refused'}: {_first_line(error)}",
            )

    def close(self) -> None:
        """Remove the run's network and volumes; what an engine out of reach keeps is an orphan for the next run."""
        with contextlib.suppress(*ENGINE_ERRORS):
            self._leftovers.settle()
        self._network.close()
        self._staging.remove_all()

    @contextlib.contextmanager
    def _container(self, request: RunRequest) -> Iterator[str]:
        volumes = [self._staging.volume(folder, request.env.reference) for folder in request.staged]
        inside = {folder: f"/mx/in/{number}" for number, folder in enumerate(request.staged)}
        binds = [f"{volume}:{inside[folder]}:ro" for volume, folder in zip(volumes, request.staged, strict=True)]
        if request.kept is not None:
            inside[request.kept] = INSIDE
            binds.append(f"{volume_of(request.kept)}:{MOUNT}:rw")
        job = json.dumps(place(request.job, lambda path: _inside(path, inside)))
        # The volume is on the host's disk; what a compiler writes to /tmp (precompiled headers) may be larger than a result.
        file_bytes = max(request.max_output_bytes, MAX_FILE_BYTES)
        short = len(job.encode()) < MAX_ARGUMENT_BYTES
        given = ("--job-json", job) if short else ("--job", f"{IO_DIR}/{JOB_FILE}")
        cpus = ",".join(map(str, request.limits.cpus))
        memory = request.limits.memory_mb << 20
        gpu = gpu_request(request.gpu, self._info() if request.gpu else {})
        host_config = self._api.create_host_config(
            binds=binds, init=True, network_mode=self._network.mode(request.env.reference, request.env.python), read_only=True,
            tmpfs={"/tmp": f"rw,exec,mode=1777,size={TMP_SIZE}"},
            cap_drop=["ALL"], security_opt=["no-new-privileges"], pids_limit=request.limits.pids,
            mem_limit=memory, memswap_limit=memory, cpuset_cpus=cpus,
            ulimits=[docker.types.Ulimit(name="fsize", soft=file_bytes, hard=file_bytes)],
            log_config=docker.types.LogConfig(type="json-file", config={"max-size": "5m", "max-file": "1"}),
            device_requests=list(gpu.devices),
        )
        # A name that says what it is makes a create that timed out and was repeated collide instead of multiply
        # (docker-py #2461).
        created = self._api.create_container(
            request.env.reference,
            [request.env.python, RUNNER, *given, "--out", IO_DIR],
            name=f"infermatrix-{self._run_id}-{request.name}",
            user=USER, volumes=[IO_DIR], labels=self._labels, host_config=host_config, entrypoint=[],
            environment={"HOME": "/tmp", "TMPDIR": "/tmp", **gpu.environment}, working_dir="/tmp", stop_signal="SIGTERM",
        )
        container = created["Id"]
        try:
            if not short:
                self._api.put_archive(container, IO_DIR, file_archive(JOB_FILE, job.encode()))
            yield container
        finally:
            self._leftovers.add(container)

    def _follow(self, container: str, request: RunRequest, stop: Stop, started: str, begin: float, laps: Laps) -> Outcome:
        deadline = time.monotonic() + request.deadline_s
        self._api.start(container)
        laps.lap("start")
        if request.on_start is not None:
            pid = int(self._api.inspect_container(container)["State"].get("Pid") or 0)
            if pid and is_of_container(pid, container):
                request.on_start(pid)
        ending = self._wait(container, deadline, stop)
        laps.lap("run")
        request.out_dir.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(1) as beside:  # three answers of one engine that do not depend on each other
            told = beside.submit(self._last_words, container)
            self._bring_back(container, request)
            state, tail = told.result()
        result = request.out_dir / RESULT_FILE
        events = read_events(request.out_dir)
        laps.lap("collect")
        return Outcome(
            ending=ending, exit_code=state.get("ExitCode"), oom_killed=bool(state.get("OOMKilled")), log_tail=tail,
            wall_s=time.monotonic() - begin, started=started, container_start_ms=laps.ms["start"],
            result_file=result if result.is_file() else None, events=events,
            detail=str(state.get("Error") or ""), isolation_ms=laps.ms,
        )

    def _last_words(self, container: str) -> tuple[Mapping[str, Any], str]:
        """The container's final state, and the end of its log."""
        state: Mapping[str, Any] = self._api.inspect_container(container)["State"]
        return state, self._api.logs(container, tail=60)[-LOG_TAIL_BYTES:].decode("utf-8", "replace")

    def _bring_back(self, container: str, request: RunRequest) -> None:
        """What lies in the output folder. The SDK's `get_archive` leaves a stream that was not read to its end open,
        and the engine will not remove a container that is still being read; hence the plain request."""
        url = f"{self._api.base_url}/v{self._api.api_version}/containers/{container}/archive"
        with self._api.get(url, params={"path": IO_DIR}, stream=True, timeout=ENGINE_TIMEOUT_S) as response:
            response.raise_for_status()
            extract_bounded(
                response.iter_content(CHUNK), request.out_dir, max_bytes=request.max_output_bytes, max_files=MAX_FILES
            )

    def _wait(self, container: str, deadline: float, stop: Stop) -> Ending:
        """Until the container is over. One request waits for it, beside: asking every second would cost CPU while it measures."""
        ended, asked = _Ended(self._api, container, deadline), time.monotonic()
        while not ended.event.wait(max(0.0, min(WAIT_STEP_S, deadline - time.monotonic()))):
            now = time.monotonic()
            if now >= deadline or stop.requested:
                # Polite first: the runner writes what it has; what ignores SIGTERM is killed by the engine.
                with contextlib.suppress(docker.errors.APIError):
                    self._api.stop(container, timeout=TERM_GRACE_S)
                return Ending.INTERRUPTED if stop.requested else Ending.DEADLINE
            if now - asked >= ALIVE_EVERY_S:
                asked = now
                if not self._answers():
                    raise requests.exceptions.ConnectionError("it answers no more")
        if ended.error is None:
            return Ending.EXITED
        if not isinstance(ended.error, requests.RequestException) or not self._answers():
            raise ended.error
        return self._wait(container, deadline, stop)  # only the connection was lost

    def _answers(self) -> bool:
        try:
            return bool(self._api.ping())
        except ENGINE_ERRORS:
            return False


class _Ended:
    """A request that waits for a container's end in a thread of its own; `event` is set then, or where the request failed."""

    def __init__(self, api: docker.APIClient, container: str, deadline: float) -> None:
        self.event = threading.Event()
        self.error: Exception | None = None
        limit_s = max(0.0, deadline - time.monotonic()) + ENGINE_TIMEOUT_S  # the trial's own deadline comes first
        threading.Thread(target=self._follow, args=(api, container, limit_s), daemon=True).start()

    def _follow(self, api: docker.APIClient, container: str, limit_s: float) -> None:
        try:
            api.wait(container, timeout=int(limit_s) + 1)
        except ENGINE_ERRORS as error:
            self.error = error
        finally:
            self.event.set()


def _inside(path: Path, inside: Mapping[Path, str]) -> str:
    for folder, target in inside.items():
        if path.is_relative_to(folder):
            return f"{target}/{path.relative_to(folder).as_posix()}" if path != folder else target
    raise ValueError(f"{path} is in no staged folder")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
