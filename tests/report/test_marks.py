from __future__ import annotations

import io
from typing import Any

import pytest

from orchestrator.report.cells import CellView
from orchestrator.report.html import render_html
from orchestrator.report.markdown import render_markdown
from orchestrator.report.marks import marks_of
from orchestrator.report.terminal import print_matrix
from tests.report.sample import sample_matrix


def marked(**change: Any) -> dict[str, Any]:
    matrix = sample_matrix()
    cell = next(c for c in matrix["cells"] if c["label"] == "openvino" and c["status"] == "ok")
    cell.update(change)
    return matrix


def terminal(matrix: dict[str, Any]) -> str:
    stream = io.StringIO()
    print_matrix(matrix, stream=stream)
    return stream.getvalue()


@pytest.mark.parametrize(("change", "text"), [
    ({"trials": {"asked": 5, "run": 5, "failed": 2, "valid": 3, "invalid": []}}, "‡ 3 of 5 trials"),
    ({"threads": 4, "evidence": {"detail": {"threads": 1}}}, "1 of 4 threads"),
    ({"fidelity": None, "null_reasons": {"fidelity": "not comparable: the model is random"}}, "outputs not compared"),
])
def test_every_report_marks_it_and_explains_the_mark(change: dict[str, Any], text: str) -> None:
    matrix = marked(**change)
    (mark,) = [m for m in marks_of(CellView(anchor="c", raw=next(
        c for c in matrix["cells"] if c["label"] == "openvino" and c["status"] == "ok"))) if m.text == text]
    for report in (render_html(matrix), render_markdown(matrix), terminal(matrix)):
        assert text in report
        assert mark.meaning in report
    assert text not in terminal(sample_matrix())


def test_signs_and_words_that_occur_are_explained_on_the_terminal_and_in_the_legend() -> None:
    text, page = terminal(sample_matrix()), render_html(sample_matrix())
    assert "noisy: The interval is wider than" in text
    assert "? name: open" in text
    assert "The interval is wider than 1%" in page
