"""A backend through a suite as the orchestrator sees it: parts, two environments, resume, and hosts that fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.conformance.outcomes import Outcome, TestStatus
from orchestrator.conformance.results import is_complete, score
from orchestrator.conformance.run import Examination, TestLimits
from orchestrator.conformance.suite import read_suite
from orchestrator.conformance.summary import summarise
from orchestrator.isolation.base import Stop
from orchestrator.isolation.local import LocalIsolation
from orchestrator.model import BackendSpec, ConverterSpec, EnvSpec, IsolationKind, ReadyEnv, RunRequest
from orchestrator.model import Outcome as ProcessOutcome
from tests.conformance.planted_suite import ADAPTER, name_of, write_suite
from tests.isolation.boxes import ready

RUNNER = Path(__file__).parents[2] / "runners" / "run.py"


class Counted(LocalIsolation):
    """Local isolation that keeps what it was asked to run."""

    def __init__(self) -> None:
        super().__init__(IsolationKind.VENV, RUNNER, lambda _envs, _say: {})
        self.asked: list[RunRequest] = []

    def run(self, request: RunRequest, stop: Stop) -> ProcessOutcome:
        """As ever."""
        self.asked.append(request)
        return super().run(request, stop)


@pytest.fixture
def isolation() -> Iterator[Counted]:
    made = Counted()
    yield made
    made.close()


def backend() -> BackendSpec:
    env = EnvSpec(name="misbehaving", folder=ADAPTER.parent, extra_files=(ADAPTER,), version_of="planted")
    return BackendSpec(
        name="misbehaving", title="Misbehaving", licence="none", homepage="https://example.org", adapter="misbehaving", env=env,
        formats=("made", "onnx"), precisions=("fp32",), devices=("cpu",),
        converter=ConverterSpec(by="misbehaving", env=env, output="made"),
    )


def here() -> ReadyEnv:
    return ready(IsolationKind.VENV, sys.prefix, sys.executable)


def examination(tmp_path: Path, faults: Sequence[str], isolation: Counted, **changes: Any) -> Examination:
    suite = read_suite(write_suite(tmp_path / "suite", faults))
    made = Examination(
        backend=backend(), env=here(), converter=None, suite=suite, isolation=isolation, cpus=(0,),
        limits=TestLimits(test_s=20, memory_mb=1024), parts=tmp_path / "parts", stop=Stop(), say=lambda _text: None,
    )
    return replace(made, **changes)


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name.removeprefix("node/test_"): outcome.status.value for name, outcome in outcomes.items()}


def test_finished_parts_are_not_run_again(tmp_path: Path, isolation: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.conformance.run.PART", {"node": 2})
    faults = ["right", "segfault", "wrong", "unsupported", "last"]
    this = examination(tmp_path, faults, isolation)
    first = this.run(this.suite.tests)
    assert len(isolation.asked) == 3
    again = this.run(this.suite.tests)
    assert len(isolation.asked) == 3
    assert again.outcomes == first.outcomes
    assert statuses(first.outcomes) == {
        "right": "passed", "segfault": "crashed", "wrong": "failed", "unsupported": "unsupported", "last": "passed"}
    assert len(first.import_ms) == 3
    this.forget()
    this.run(this.suite.tests)
    assert len(isolation.asked) == 6


def test_a_backend_with_a_converter_converts_before_it_runs(tmp_path: Path, isolation: Counted) -> None:
    this = examination(tmp_path, ["right", "inconvertible", "converter_dies", "wrong"], isolation, converter=here())
    told = this.run(this.suite.tests)
    assert [request.job["stage"] for request in isolation.asked] == ["convert", "run"]
    assert isolation.asked[1].job["tests"] == [name_of("right"), name_of("wrong")]
    assert statuses(told.outcomes) == {
        "right": "passed", "inconvertible": "unsupported", "converter_dies": "crashed", "wrong": "failed"}
    assert told.outcomes[name_of("inconvertible")].phase == "convert"


def test_where_nothing_can_be_converted_nothing_is_run(tmp_path: Path, isolation: Counted) -> None:
    this = examination(tmp_path, ["inconvertible"], isolation, converter=here())
    this.run(this.suite.tests)
    assert [request.job["stage"] for request in isolation.asked] == ["convert"]


def test_a_backend_that_cannot_be_imported_is_asked_once_and_keeps_nothing(
    tmp_path: Path, isolation: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.conformance.run.PART", {"node": 1})
    broken = tmp_path / "adapter.py"
    broken.write_text("import a_library_that_is_not_there")
    spec = backend()
    spec = replace(spec, env=replace(spec.env, extra_files=(broken,)))
    this = examination(tmp_path, ["right", "last"], isolation, backend=spec)
    told = this.run(this.suite.tests)
    assert len(isolation.asked) == 1
    assert set(statuses(told.outcomes).values()) == {"not_run"}
    assert "a_library_that_is_not_there" in str(told.failure)
    assert not list(this.parts.glob("*"))


def test_who_stops_gets_what_is_known_and_the_rest_is_asked_again(tmp_path: Path, isolation: Counted) -> None:
    this = examination(tmp_path, ["right", "last"], isolation)
    this.stop.request("SIGINT")
    told = this.run(this.suite.tests)
    document = summarise(this.suite.tests, told.outcomes)
    assert set(statuses(told.outcomes).values()) == {"not_run"}
    assert not is_complete({**document, "failure": None})


def test_outcomes_that_cannot_be_believed_count_for_nothing(tmp_path: Path) -> None:
    class Lying(Counted):
        def run(self, request: RunRequest, stop: Stop) -> ProcessOutcome:
            outcome = super().run(request, stop)
            file = request.out_dir / "outcomes.jsonl"
            file.write_text(file.read_text().replace(name_of("last"), "node/test_that_nobody_asked_for"))
            return outcome

    this = examination(tmp_path, ["right", "last"], Lying())
    told = this.run(this.suite.tests)
    assert set(statuses(told.outcomes).values()) == {"not_run"}
    assert "not asked for" in str(told.outcomes[name_of("last")].reason)


def test_the_score_counts_native_answers_only(tmp_path: Path, isolation: Counted) -> None:
    this = examination(tmp_path, ["right", "elsewhere", "wrong"], isolation)
    document = summarise(this.suite.tests, this.run(this.suite.tests).outcomes)
    assert document["counts"] == {"passed": 1, "failed": 1, "fallback": 1}
    assert score(document) == "1 of 3 tests; 1 of 3 operators wholly, 0 in part"
    assert document["executed_on"] == {"planted": 2}
    assert document["tests"][name_of("right")] == "passed"


def test_every_status_of_the_program_is_one_of_the_protocol() -> None:
    """`not_run` is the orchestrator's own word: no runner may say it."""
    from orchestrator.protocol import _validator

    schema = _validator("outcome").schema
    assert isinstance(schema, dict)
    assert {*schema["properties"]["status"]["enum"], "not_run"} == {status.value for status in TestStatus}
