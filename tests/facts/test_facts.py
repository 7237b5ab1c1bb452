"""Facts with their sources, and what a reader sees where one is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends import load_registry
from orchestrator.errors import ConfigError
from orchestrator.facts.gather import facts_json, facts_of, measured
from orchestrator.facts.kept import NAMES, NO_FILE, load_ended, load_facts
from orchestrator.facts.table import COLUMNS, fact_rows

IMAGES = Path(__file__).parents[2] / "images"
DOCUMENT: dict[str, Any] = {
    "schema": "infermatrix.conformance/1", "command": "infermatrix conformance", "date": "2026-11-21", "asked": 4,
    "failure": None,
    "counts": {"passed": 3, "failed": 1}, "domains": {"ai.onnx": {"all": 1, "some": 1, "none": 0, "not_asked": 5}},
    "environment": {"size_mb": 146.8, "packages": 7, "import_ms": None},
}


def write(folder: Path, text: str) -> Path:
    (folder / "facts.yaml").write_text(text)
    return folder


def whole(**changes: str) -> str:
    lines = {name: f"  {name}: {{value: some, source: 'https://example.org'}}" for name in NAMES} | changes
    return "date: 2026-11-21\nfacts:\n" + "\n".join(lines.values()) + "\n"


@pytest.mark.parametrize("backend", sorted(load_registry(IMAGES)))
def test_every_fact_of_every_backend_has_a_source_and_a_date_or_a_reason(backend: str) -> None:
    for name, fact in load_facts(IMAGES / backend).items():
        assert fact.date
        assert (fact.value and fact.source) or (fact.value is None and fact.why), name


def test_the_systems_that_ended_are_those_of_the_seeds() -> None:
    names = " ".join(system.name for system in load_ended(IMAGES))
    for name in ("Nuphar", "Chainer", "Theano", "Caffe ", "Caffe2", "DL4J", "CNTK", "MXNet"):
        assert name in names + " "


@pytest.mark.parametrize(("broken", "why"), [
    ("  languages: {value: Python}", "no `source`"), ("  languages: {value: null}", "no `why`"),
    ("  languages: {value: Python, sauce: x}", "sauce"), ("", "languages"),
])
def test_a_fact_without_its_source_is_refused_with_its_place(tmp_path: Path, broken: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_facts(write(tmp_path, whole(languages=broken)))


def test_a_backend_without_facts_says_that_nobody_wrote_them(tmp_path: Path) -> None:
    assert {fact.why for fact in load_facts(tmp_path).values()} == {NO_FILE}
    assert load_ended(tmp_path) == ()


def test_measured_facts_carry_their_command_and_the_nearest_result_counts(tmp_path: Path) -> None:
    spec = load_registry(IMAGES)["onnxruntime"]
    assert "infermatrix conformance --backend onnxruntime" in str(measured(spec, [tmp_path])["onnx"].why)
    far, near = tmp_path / "far", tmp_path / "near"
    for folder, passed in ((far, 4), (near, 3)):
        folder.mkdir()
        (folder / "onnxruntime.json").write_text(json.dumps({**DOCUMENT, "counts": {"passed": passed}}))
    found = measured(spec, [near, far])
    assert found["onnx"].value == "3 of 4 tests; 1 of 2 operators wholly, 1 in part"
    assert (found["onnx"].source, found["onnx"].date) == ("infermatrix conformance", "2026-11-21")
    assert found["size_mb"].value == "146.8"
    assert found["import_ms"].value is None
    assert found["import_ms"].why


def test_a_damaged_result_is_no_measurement(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.json").write_text("{")
    assert measured(load_registry(IMAGES)["onnxruntime"], [tmp_path])["onnx"].value is None


def test_the_table_has_a_row_for_everything_and_says_what_is_not_known(tmp_path: Path) -> None:
    spec = load_registry(IMAGES)["onnxruntime"]
    bare = replace(spec, name="bare", title="Bare", env=replace(spec.env, folder=tmp_path))
    facts = facts_json([spec, bare], IMAGES, [])
    rows = {row[0]: row for row in fact_rows(facts)}
    assert all(len(row) == len(COLUMNS) for row in rows.values())
    assert rows["Bare"][COLUMNS.index("Languages")] == "not known"
    assert rows["ONNX Runtime"][COLUMNS.index("ONNX tests, measured")] == "not measured"
    assert "replaced by PyTorch" in rows["Caffe2"][1]
    assert facts_of(bare, [])["version"].value is None
    json.dumps(facts, allow_nan=False)
