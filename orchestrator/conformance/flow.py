"""The whole command: for each backend its environments, its tests, its result files; what is finished is not done again."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import docker

from orchestrator import __version__
from orchestrator.conformance.markdown import render
from orchestrator.conformance.results import SCHEMA, is_complete
from orchestrator.conformance.run import Examination, TestLimits, Told
from orchestrator.conformance.suite import Suite, Test
from orchestrator.conformance.summary import summarise
from orchestrator.environments import converter_key, envs_of
from orchestrator.errors import BuildError, ResultError
from orchestrator.hostfacts import HostFacts
from orchestrator.images.adaptersources import code_digest
from orchestrator.images.builders import Builder
from orchestrator.images.context import DEFAULT_RUNNER
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.isolation.hostlock import engine_lock, file_lock
from orchestrator.model import BackendSpec, IsolationKind, ReadyEnv, digest
from orchestrator.opening import opened
from orchestrator.protocol import JOB
from orchestrator.records import read_json, write_atomically
from orchestrator.rundir import git_revision

FP32 = "fp32"
_CODE = ("conformance.py", "conformance_child.py")  # of the runner: what the tests run in


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one invocation was asked to do."""

    backends: tuple[BackendSpec, ...]
    suite: Suite
    pattern: str | None  # only tests whose name fits it
    limits: TestLimits
    kind: IsolationKind
    base: str
    builder: Builder
    out: Path
    cache: Path
    facts: HostFacts
    run_id: str
    command: str
    again: bool  # also what is finished
    stop: Stop
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One backend's result, or why there is none."""

    backend: str
    document: Mapping[str, Any] | None = None
    file: Path | None = None
    finished_before: bool = False
    error: BuildError | None = None

    @property
    def is_whole(self) -> bool:
        """Every test was run; how they ended is another matter."""
        return self.document is not None and is_complete(self.document)


def result_file(out: Path, backend: str, pattern: str | None) -> Path:
    """Where a result lies; that of a selection never takes the place of the whole."""
    return out / (f"{backend}.json" if pattern is None else f"{backend}.only-{digest(pattern)[:8]}.json")


def examine(request: Request) -> list[Examined]:
    """Every backend in turn. Raises EngineError where the engine does not answer."""
    tests = request.suite.matching(request.pattern)
    found = []
    logs = request.cache / "conformance" / "logs"
    with request.stop.on_signals(), file_lock(request.say, request.stop, request.out), \
            opened(request.kind, run_id=request.run_id, base=request.base, logs=logs, builder=request.builder,
                   say=request.say) as (isolation, client):
        for backend in request.backends:
            if request.stop.requested:
                break
            found.append(_one(request, backend, tests, isolation, client))
    return found


def _one(
    request: Request, backend: BackendSpec, tests: Sequence[Test], isolation: Isolation, client: docker.DockerClient | None,
) -> Examined:
    converts = "onnx" not in backend.formats or backend.must_convert(FP32)
    envs = envs_of(backend)
    if not converts:
        envs.pop(converter_key(backend.name), None)
    ready = isolation.prepare(envs, request.say)
    for env in ready.values():
        if isinstance(env, BuildError):
            return Examined(backend=backend.name, error=env)
    own, converter = ready[backend.name], ready.get(converter_key(backend.name))
    assert isinstance(own, ReadyEnv)
    assert converter is None or isinstance(converter, ReadyEnv)
    key = digest({
        "backend": backend.name, "env": own.installed, "converter": _converter(backend, converter), "protocol": JOB,
        "code": code_digest(DEFAULT_RUNNER, backend.name, backend.env, *_CODE),
        "suite": request.suite.digest, "tests": [test.name for test in tests], "limits": asdict(request.limits),
        "isolation": request.kind.value, "settings": {name: setting.default for name, setting in backend.settings.items()},
    })[:16]
    file = result_file(request.out, backend.name, request.pattern)
    before = None if request.again else _finished(file, key)
    if before is not None:
        request.say(f"{backend.name}: finished before ({file}); --again runs it anew")
        return Examined(backend=backend.name, document=before, file=file, finished_before=True)
    examination = Examination(
        backend=backend, env=own, converter=converter, suite=request.suite, isolation=isolation, limits=request.limits,
        cpus=tuple(request.facts.usable_cpus[:request.limits.threads]),
        parts=request.cache / "conformance" / f"parts-{key}", stop=request.stop, say=request.say,
    )
    if request.again:
        examination.forget()
    began = time.monotonic()
    lock = contextlib.nullcontext() if client is None else engine_lock(
        client, own.reference, request.say, request.stop, request.out)
    with lock, request.stop.patience():
        told = examination.run(tests)
    document = _document(request, backend, own, converter, tests, told, key, time.monotonic() - began)
    write_atomically(file, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_atomically(file.with_suffix(".md"), render(document).encode())
    if is_complete(document):
        examination.forget()
    return Examined(backend=backend.name, document=document, file=file)


def _finished(file: Path, key: str) -> dict[str, Any] | None:
    """The document of an earlier run, if it is whole and was made of the very same things."""
    try:
        document = read_json(file, schema=SCHEMA)
    except ResultError:
        return None
    return document if document.get("key") == key and is_complete(document) else None


def _document(
    request: Request, backend: BackendSpec, own: ReadyEnv, converter: ReadyEnv | None, tests: Sequence[Test], told: Told,
    key: str, took_s: float,
) -> dict[str, Any]:
    reasons = {} if told.import_ms else {"environment.import_ms": told.failure or "no process got as far as its first test"}
    return {
        "schema": SCHEMA, "backend": backend.name, "title": backend.title,
        "version": told.versions.get(backend.env.version_of or "") or next(
            (version for name, version in told.versions.items() if name.lower() == (backend.env.version_of or "").lower()), None),
        "versions": dict(sorted(told.versions.items())), "date": datetime.now(timezone.utc).date().isoformat(),
        "command": request.command, "infermatrix_version": __version__, "git": git_revision(Path(__file__).parent),
        "key": key, "failure": told.failure, "took_s": round(took_s, 1),
        "suite": {"onnx": request.suite.onnx_version, "digest": request.suite.digest[:16], "tests": len(tests),
                  "pattern": request.pattern},
        "limits": asdict(request.limits),
        "isolation": {"kind": request.kind.value, "not_enforced": list(told.not_enforced)},
        "host": {"cpu": request.facts.to_json().get("cpu_model") or request.facts.to_json().get("cpu"),
                 "cpus": len(request.facts.usable_cpus)},
        "environment": {
            **_env(own), "import_ms": round(statistics.median(told.import_ms), 1) if told.import_ms else None},
        "converter": None if converter is None else _env(converter),
        **summarise(tests, told.outcomes),
        "null_reasons": reasons,
    }


def _converter(backend: BackendSpec, env: ReadyEnv | None) -> list[str] | None:
    """What a conversion's outcome depends on."""
    if env is None or backend.converter is None:
        return None
    return [env.installed, code_digest(DEFAULT_RUNNER, backend.converter.by, backend.converter.env, "convert.py")]


def _env(env: ReadyEnv) -> dict[str, Any]:
    return {"size_mb": env.size_mb, "packages": env.packages, "digest": env.digest[:16]}
