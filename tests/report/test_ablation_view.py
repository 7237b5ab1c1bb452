"""What each setting changes: oriented towards the base row, and nothing where nothing was decided or measured."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.report.ablation import Ablation, ablations
from orchestrator.report.html import render_html
from orchestrator.report.markdown import render_markdown
from orchestrator.report.view import build_view
from tests.report.sample import sample_matrix

BASE, OFF, BASIC = "ort", "ort[spin=false]", "ort[level=basic]"


@pytest.fixture
def matrix() -> dict[str, Any]:
    """One model; three rows of one backend and one of another."""
    made = sample_matrix(labels=(BASE, OFF, BASIC, "openvino"), models={"spam": 0.01}, conditions=(("single_stream", 1),))
    base = {"spin": True, "level": "all"}
    settings = {BASE: base, OFF: {**base, "spin": False}, BASIC: {**base, "level": "basic"}}
    for cell in made["cells"]:
        cell["backend"] = "openvino" if cell["label"] == "openvino" else "ort"
        cell["settings"] = settings.get(cell["label"], {})
    ids = {cell["label"]: cell["id"] for cell in made["cells"]}
    made["comparisons"] = [
        # a ÷ b: the base takes 1.25 times as long as without spinning
        compared(ids[BASE], ids[OFF], 1.25, [1.2, 1.3], ids[OFF]),
        compared(ids[BASIC], ids[BASE], 1.01, [0.97, 1.05], None),
    ]
    made["settings"] = {"ort": {"spin": {"type": "boolean", "default": True, "recommended": True, "source": "its manual"}}}
    return made


def compared(a: str, b: str, ratio: float, ends: list[float], faster: str | None) -> dict[str, Any]:
    return {"group": {}, "a": a, "b": b, "ratio": ratio, "ci": ends, "pairs": 5, "state": "s1", "decided": faster is not None,
            "faster": faster, "why": "the corrected interval of the ratio includes 1"}


def only(matrix: dict[str, Any]) -> Ablation:
    (found,) = ablations(build_view(matrix).models[0], matrix)
    return found


def test_ratios_are_time_with_the_setting_over_time_without(matrix: dict[str, Any]) -> None:
    spin, level = only(matrix).changes
    assert spin.title == "spin: true → false"
    assert (spin.effects[0].text, spin.effects[0].verdict) == ("0.80× (0.77–0.83)", "faster")
    assert level.title == "level: all → basic"
    assert (level.effects[0].text, level.effects[0].verdict) == ("1.01× (0.97–1.05)", "open")
    assert "includes 1" in level.effects[0].why


def test_a_tie_is_said_to_make_no_difference(matrix: dict[str, Any]) -> None:
    matrix["comparisons"][1].update(verdict="tied", ci=[0.99, 1.01])
    assert only(matrix).changes[1].effects[0].verdict == "no difference"


def test_what_the_vendor_recommends_stands_beside_it(matrix: dict[str, Any]) -> None:
    spin, level = only(matrix).changes
    assert spin.note == "recommended: true (its manual)"
    assert level.note == ""


@pytest.mark.parametrize("label", [BASE, OFF])
def test_without_a_figure_that_counts_there_is_no_ratio_but_a_reason(label: str, matrix: dict[str, Any]) -> None:
    cell = next(cell for cell in matrix["cells"] if cell["label"] == label)
    cell.update(status="wrong_answer", reason="off by a mile")
    effect = only(matrix).changes[0].effects[0]
    assert (effect.text, effect.verdict) == ("–", "")
    assert "off by a mile" in effect.why


def test_rows_that_vary_nothing_make_no_table(matrix: dict[str, Any]) -> None:
    for cell in matrix["cells"]:
        cell["label"] = cell["label"].replace("[", "-").replace("]", "")
    assert ablations(build_view(matrix).models[0], matrix) == ()


def test_both_reports_show_the_table_and_the_recommendations(matrix: dict[str, Any]) -> None:
    page, text = render_html(matrix), render_markdown(matrix)
    for shown in (page, text):
        assert "What each setting changes: ort" in shown
        assert "0.80× (0.77–0.83)" in shown
        assert "its manual" in shown
        assert "Recommended by its vendor" in shown
