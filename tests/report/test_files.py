"""CSV, Parquet, Markdown, the terminal and writing them. Golden files: INFERMATRIX_WRITE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

import orchestrator
import orchestrator.report.write as write_module
from orchestrator.report.html import render_html
from orchestrator.report.markdown import render_markdown
from orchestrator.report.tables import SCHEMA, csv_text, flat_rows, parquet_bytes
from orchestrator.report.terminal import print_matrix
from orchestrator.report.write import write_reports
from tests.report.sample import FAILURES, HOSTILE, sample_matrix

_GOLDEN = Path(__file__).parent / "golden"


def small() -> dict[str, Any]:
    return sample_matrix(models={"spam": 0.011, "resnet50": 41.0})


def golden(name: str, text: str) -> str:
    path = _GOLDEN / name
    if os.environ.get("INFERMATRIX_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def test_the_sample_is_what_the_schema_asks_for() -> None:
    schema = Path(orchestrator.__file__).parent / "schemas" / "matrix.schema.json"
    Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(sample_matrix())


def test_markdown_is_as_agreed() -> None:
    text = render_markdown(small())
    assert text == golden("report.md", text)


def test_csv_is_as_agreed() -> None:
    text = csv_text(small())
    assert text == golden("matrix.csv", text)


def test_csv_has_one_row_per_cell_and_empty_fields_for_nulls() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(sample_matrix()))))
    assert [row["id"] for row in rows] == [cell["id"] for cell in sample_matrix()["cells"]]
    assert rows[0]["latency_ms_p99"] == ""
    assert json.loads(rows[0]["null_reasons"])["metrics.latency_ms.p99"] == "51 samples per trial; 662 needed"
    assert {row["best"] for row in rows} == {"true", "false"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_text_cannot_start_a_formula(start: str) -> None:
    matrix = sample_matrix()
    matrix["cells"][0]["reason"] = f"{start}HYPERLINK(1)"
    matrix["cells"][0]["metrics"]["memory_delta_mb"] = -3.5
    row = next(csv.DictReader(io.StringIO(csv_text(matrix))))
    assert row["reason"].startswith(("'", "\nH")), "a carriage return may also become a newline"
    assert row["memory_delta_mb"] == "-3.5"


def test_parquet_holds_the_same_rows_typed() -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes(sample_matrix())))
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == flat_rows(sample_matrix())
    assert table["latency_ms_p99"].null_count == table.num_rows


def test_columns_do_not_depend_on_the_matrix() -> None:
    assert pq.read_table(io.BytesIO(parquet_bytes({}))).schema.equals(SCHEMA)
    assert csv_text({}).strip().split(",") == SCHEMA.names


def test_markdown_of_hostile_strings_has_no_html_no_link_and_whole_tables() -> None:
    matrix = sample_matrix(hostile=HOSTILE + " https://evil.example ![x](y) a|b")
    for cell in matrix["cells"]:
        cell["label"] = f"{cell['label']} | <b>x</b> [l](u)"
    text = render_markdown(matrix)
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inline)}
    assert not kinds & {"html_block", "link_open", "image", "fence"}
    assert {child.content for child in inline if child.type == "html_inline"} <= {"<br>"}
    assert "https://evil" not in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| Backend |")}
    assert widths == {2, 4 - 1}  # the matrix' tables and the one of exclusions


def test_terminal_gets_plain_text_where_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which a shell may export
    out = io.StringIO()
    print_matrix(sample_matrix(), report=Path("runs/1/report.html"), stream=out)
    lines = out.getvalue().splitlines()
    assert lines[-1] == "Report: runs/1/report.html"
    assert "\x1b" not in out.getvalue()
    assert not [line for line in lines if line != line.rstrip()]
    for _, reason, _, _ in FAILURES.values():
        assert reason[:40] in out.getvalue()
    assert sum("★" in line and " | " in line for line in lines) == 1, "both winners of the sample stand in one row"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_is_never_sent_what_a_container_wrote_as_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    matrix = sample_matrix(hostile="\x1b]0;owned\x07\x1b[2J[red]x[/red][/]")
    matrix["cells"][1]["label"] = "\x1b[2J[bold"
    out = Terminal()
    print_matrix(matrix, report=None, stream=out)
    assert "\x1b[" in out.getvalue(), "else nothing was coloured and this test shows nothing"
    assert "\x1b]" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    assert "[red]x" in out.getvalue().replace("\n", "")


def test_terminal_output_survives_an_encoding_without_the_signs() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_matrix(sample_matrix(), stream=stream)
    stream.flush()
    assert b"onnxruntime" in raw.getvalue()


def test_reports_are_written_whole_and_leave_nothing_else(tmp_path: Path) -> None:
    written = write_reports(sample_matrix(), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(written) == {
        "report.html", "report.md", "matrix.csv", "matrix.parquet"}
    assert written["report.html"].read_text(encoding="utf-8") == render_html(sample_matrix())
    assert written["matrix.csv"].read_text(encoding="utf-8") == csv_text(sample_matrix())


def test_a_failure_leaves_the_old_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: path.read_bytes() for name, path in write_reports(sample_matrix(), tmp_path).items()}

    def broken(_: object) -> str:
        raise RuntimeError("no")

    monkeypatch.setattr(write_module, "parquet_bytes", broken)
    with pytest.raises(RuntimeError):
        write_reports(small(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("columns", "widest"), [(None, 140), ("100", 100), ("nonsense", 140)])
def test_the_tables_of_a_plain_text_have_a_width_that_can_be_read(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, widest: int
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    out = io.StringIO()
    print_matrix(sample_matrix(), stream=out)
    assert max(len(line) for line in out.getvalue().splitlines() if "|" in line) <= widest
