"""One backend through the suite: part by part, all conversions of a part first, then all its tests; a finished part is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.artifacts import MAX_ARTIFACT_BYTES, are_plain, own_adapter
from orchestrator.conformance.outcomes import Outcome, TestStatus
from orchestrator.conformance.suite import Suite, Test
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.model import BackendSpec, EnvSpec, Limits, ReadyEnv, RunRequest
from orchestrator.model import Outcome as ProcessOutcome
from orchestrator.protocol import BadResultError, conformance_job, read_outcomes, read_result
from orchestrator.records import write_atomically

OUTCOMES_FILE = "outcomes.jsonl"
PART = {"node": 200, "real": 2}  # tests in one container; artifacts of `real` ones weigh hundreds of MB
OTHERS = 60
IMPORT_S = 300.0
SPARE_MB = 1024  # of the container above what one test may have: the list's keeper, and the kernel's own
STAGES = ("convert", "run")


@dataclass(frozen=True, kw_only=True)
class TestLimits:
    """What one test may take, and the threads that it gets."""

    __test__ = False  # no test of pytest's

    test_s: float = 60.0
    memory_mb: int = 4096
    threads: int = 1


@dataclass(kw_only=True)
class Told:
    """What the parts' results said beside the outcomes."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    import_ms: list[float] = field(default_factory=list)
    not_enforced: tuple[str, ...] = ()
    failure: str | None = None  # why not even one test could be tried

    def absorb(self, other: Told) -> None:
        """Add a part."""
        self.outcomes.update(other.outcomes)
        self.versions.update(other.versions)
        self.import_ms += other.import_ms
        self.not_enforced = other.not_enforced or self.not_enforced
        self.failure = self.failure or other.failure


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Everything that one backend's tests need."""

    backend: BackendSpec
    env: ReadyEnv
    converter: ReadyEnv | None  # None: the backend reads ONNX itself
    suite: Suite
    isolation: Isolation
    limits: TestLimits
    cpus: tuple[int, ...]
    parts: Path  # where finished parts are kept, by content: a folder of this very examination
    stop: Stop
    say: Callable[[str], None]

    def run(self, tests: Sequence[Test]) -> Told:
        """Every test's outcome; what could not be run for the host's sake is `not_run`, and is asked again next time."""
        told = Told()
        due = [test for test in tests if test.beyond is None]
        parts = list(_parts(due))
        done = 0
        for number, part in enumerate(parts):
            found = self._kept(part)
            if found is None:
                if self.stop.requested or told.failure:
                    break
                self.say(f"{self.backend.name}: {done} of {len(due)} tests done")
                found = self._part(part, f"{number}")
                if all(outcome.status is not TestStatus.NOT_RUN for outcome in found.outcomes.values()) and not found.failure:
                    self._keep(part, found)
            done += len(part)
            told.absorb(found)
        why = told.failure or self.stop.reason or "an earlier part could not be run"
        for test in due:
            told.outcomes.setdefault(test.name, Outcome(status=TestStatus.NOT_RUN, reason=why))
        return told

    def _part(self, part: Sequence[Test], number: str) -> Told:
        with tempfile.TemporaryDirectory(prefix="infermatrix-conformance-") as scratch:
            if self.converter is None:
                return self._stage("run", self.env, part, Path(scratch) / "run", number)
            converted = self._stage("convert", self.converter, part, Path(scratch) / "convert", number)
            artifacts = Path(scratch) / "convert" / "artifact"
            made = {
                name: outcome.artifact for name, outcome in converted.outcomes.items()
                if outcome.status is TestStatus.PASSED and outcome.artifact is not None
                and are_plain([outcome.artifact["file"]], artifacts / name.replace("/", "."))
            }
            for name, outcome in list(converted.outcomes.items()):
                if outcome.status is TestStatus.PASSED and name not in made:
                    converted.outcomes[name] = Outcome(
                        status=TestStatus.FAILED, phase="convert", reason="the converter named a file and did not write it")
            if converted.failure or not made:
                return Told(outcomes=converted.outcomes, failure=converted.failure)
            rest = [test for test in part if test.name in made]
            told = self._stage("run", self.env, rest, Path(scratch) / "run", number, artifacts=artifacts, made=made)
            told.outcomes = {**converted.outcomes, **told.outcomes}
            return told

    def _stage(
        self, stage: str, env: ReadyEnv, part: Sequence[Test], out: Path, number: str, *, artifacts: Path | None = None,
        made: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Told:
        """One job in one environment."""
        names = [test.name for test in part]
        trial = f"conformance-{self.backend.name.replace('_', '-')}-{stage}-{number}"
        outcome = self.isolation.run(
            RunRequest(
                name=trial, env=env, out_dir=out, max_output_bytes=MAX_ARTIFACT_BYTES,
                job=conformance_job(
                    backend=self.backend, stage=stage, suite=self.suite.folder, tests=names, trial=trial, import_s=IMPORT_S,
                    test_s=self.limits.test_s, memory_mb=self.limits.memory_mb, threads=self.limits.threads,
                    artifacts=artifacts, made=made, adapter_file=own_adapter(self._spec(stage), env),
                ),
                staged=(self.suite.folder, *([artifacts] if artifacts else [])),
                limits=Limits(cpus=self.cpus, memory_mb=self.limits.memory_mb + SPARE_MB),
                # Each test has a limit of its own and may be tried twice; this only ends a runner that is stuck itself.
                deadline_s=IMPORT_S * 2 + len(names) * (2 * self.limits.test_s + 30),
            ),
            self.stop,
        )
        return _told(outcome, out, trial, names)

    def _spec(self, stage: str) -> EnvSpec:
        converter = self.backend.converter
        return converter.env if stage == "convert" and converter is not None else self.backend.env

    def _kept(self, part: Sequence[Test]) -> Told | None:
        try:
            raw = json.loads(self._place(part).read_text(encoding="utf-8"))
            if set(raw["outcomes"]) != {test.name for test in part}:
                return None
            return Told(
                outcomes={name: Outcome.of(one) for name, one in raw["outcomes"].items()}, versions=raw["versions"],
                import_ms=raw["import_ms"], not_enforced=tuple(raw["not_enforced"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, part: Sequence[Test], told: Told) -> None:
        raw = {
            "outcomes": {name: one.to_json() for name, one in told.outcomes.items()}, "versions": told.versions,
            "import_ms": told.import_ms, "not_enforced": list(told.not_enforced),
        }
        write_atomically(self._place(part), json.dumps(raw).encode())

    def _place(self, part: Sequence[Test]) -> Path:
        return self.parts / f"{part[0].name.replace('/', '.')}-{len(part)}.json"

    def forget(self) -> None:
        """Remove the finished parts: the whole result is written."""
        shutil.rmtree(self.parts, ignore_errors=True)


def _parts(tests: Sequence[Test]) -> Iterator[Sequence[Test]]:
    """Tests of one kind, as many as go into one container."""
    start = 0
    while start < len(tests):
        kind = tests[start].kind
        size = PART.get(kind, OTHERS)
        part = [test for test in tests[start:start + size] if test.kind == kind]
        yield part
        start += len(part)


def _told(outcome: ProcessOutcome, out: Path, trial: str, names: Sequence[str]) -> Told:
    """What came back, believed; `not_run` for every test that has no word."""
    told = Told(not_enforced=outcome.not_enforced)
    why = outcome.detail or f"the runner ended early ({outcome.ending.value}, code {outcome.exit_code})"
    result: Mapping[str, Any] = {}
    try:
        if (out / OUTCOMES_FILE).exists():
            told.outcomes = {name: Outcome.of(raw) for name, raw in read_outcomes(out / OUTCOMES_FILE, tests=names).items()}
        if outcome.result_file is not None:
            result = read_result(outcome.result_file, trial=trial, task="conformance")
    except BadResultError as error:
        why = f"what the runner wrote cannot be believed: {error}"
    failure = result.get("failure")
    if failure:
        told.failure = why = f"{failure['phase']}: {failure['message']}"
    told.versions = {name: version for name, version in (result.get("versions") or {}).items() if version}
    imported = (result.get("phases") or {}).get("import_ms")
    told.import_ms = [] if imported is None else [imported]
    for name in names:
        told.outcomes.setdefault(name, Outcome(status=TestStatus.NOT_RUN, reason=why))
    return told
