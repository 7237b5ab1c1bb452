"""The golden fixtures of the protocol, as the runner's side sees them; the orchestrator's tests read the same files."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from orchestrator.isolation.events import parse_event
from orchestrator.protocol import read_result

job_module: Any = import_module("job")
events: Any = import_module("events")

FIXTURES = Path(__file__).parents[1] / "fixtures" / "protocol"


def golden(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / name).read_text())
    return value


def shape(value: Any) -> Any:
    """Keys and types, without the values; free-form parts and lists by their first item."""
    if isinstance(value, dict):
        free = ("null_reasons", "thread_variables", "versions", "detail")
        return {key: "…" if key in free else shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("job_*.json")), ids=lambda path: path.stem)
def test_the_runner_takes_every_golden_job(path: Path) -> None:
    raw = job_module.read_job(str(path))
    assert raw["task"] in path.name
    if raw["task"] == "trial":
        assert job_module.trial_job(raw).cells


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("result_*.json")), ids=lambda path: path.stem)
def test_the_orchestrator_believes_every_golden_result(path: Path) -> None:
    value = golden(path.name)
    ids = ["spam-single", "spam-offline-b8", "one", "a", "b", "b1", "b8", "b16"]
    assert read_result(path, trial=value["trial"], task=value["task"], cells=ids)["complete"] is (
        path.name != "result_trial_killed.json")


def test_golden_events_are_read() -> None:
    lines = (FIXTURES / "events.jsonl").read_text().splitlines()
    assert all(parse_event(line) for line in lines)
    assert parse_event(lines[0])["phase"] == "start"  # type: ignore[index]


def test_a_result_of_today_has_the_golden_shape(trial: Any) -> None:
    """A key that comes or goes is a change of the contract: then the fixture, architecture.md and the schema change too."""
    cells = [trial.cell("spam-single"), trial.cell("spam-offline-b8", scenario="offline", batch=8)]
    today, before = trial.run(cells=cells, probe={"enabled": True}, threads=2), golden("result_trial_ok.json")
    for result in (today, before):
        for part in ("environment", "probes"):  # what a machine cannot tell is null there
            result[part] = sorted(result[part])
        for cell in result["cells"]:
            cell["memory"] = sorted(cell["memory"])
            cell["nr_throttled"] = cell["throttled_s"] = None
    assert shape(today) == shape(before)


@pytest.mark.parametrize(
    ("fixture", "changes"),
    [
        ("result_trial_load_failed.json", {"fault": "load_unsupported"}),
        ("result_trial_wrong_answer.json", {"fault": "wrong"}),
    ],
)
def test_failures_of_today_have_the_golden_shape(trial: Any, fixture: str, changes: dict[str, Any]) -> None:
    today, before = trial.run(**changes), golden(fixture)
    assert shape(today["failure"]) == shape(before["failure"])
    assert [set(cell) for cell in today["cells"]] == [set(cell) for cell in before["cells"]]


def test_a_job_that_lacks_a_field_names_it() -> None:
    raw = golden("job_trial.json")
    for name in ("adapter", "settings", "threads", "inputs", "cells", "output_order"):
        with pytest.raises(job_module.JobError, match=name):
            job_module.trial_job({key: value for key, value in raw.items() if key != name})
    with pytest.raises(job_module.JobError, match="batch 0"):
        job_module.trial_job({**raw, "cells": [{**raw["cells"][0], "batch": 0}]})


def test_more_iterations_than_a_result_may_hold_are_cut() -> None:
    raw = golden("job_trial.json")
    job = job_module.trial_job({**raw, "cells": [{**raw["cells"][0], "max_iterations": 10**9}]})
    assert job.cells[0].max_iterations == job_module.MAX_SAMPLES
