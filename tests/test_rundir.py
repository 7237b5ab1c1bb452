"""What is said of the run directory before anything is measured."""

from __future__ import annotations

from pathlib import Path

from orchestrator.rundir import standing


def test_a_directory_with_records_goes_on(tmp_path: Path) -> None:
    records = tmp_path / "demo-11111111" / "records"
    records.mkdir(parents=True)
    (records / "a.json").touch()
    (line,) = standing(records.parent, "infermatrix", named=False)
    assert str(records.parent) in line
    assert "goes on there, 1 record of the same question" in line
    (named,) = standing(records.parent, "infermatrix", named=True)
    assert "1 record; those that fit what is asked now are reused" in named


def test_another_question_beside_it_is_named_with_the_reason(tmp_path: Path) -> None:
    before = tmp_path / "demo-11111111"
    before.mkdir()
    (before / "matrix.json").touch()
    (tmp_path / "other-33333333").mkdir()
    lines = standing(tmp_path / "demo-22222222", "infermatrix", named=False)
    assert "new, nothing asked exactly this before" in lines[0]
    assert "demo-11111111" in lines[1]
    assert "not reused" in lines[1]
    assert f"infermatrix report {before}" in lines[1]
    assert len(standing(tmp_path / "demo-22222222", "infermatrix", named=True)) == 1


def test_the_first_run_has_nothing_beside_it(tmp_path: Path) -> None:
    assert len(standing(tmp_path / "results" / "demo-22222222", "infermatrix", named=False)) == 1
