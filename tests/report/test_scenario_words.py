"""Scenarios with another headline than latency: what the reports show first, and how details are named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator.report.html import render_html
from orchestrator.report.markdown import render_markdown
from orchestrator.report.scenarios import detail_words
from orchestrator.report.units import Unit
from orchestrator.report.view import build_view
from tests.report.sample import sample_matrix


def matrix_of_instances() -> dict[str, Any]:
    """The sample's single_stream cells, and the same as two instances of one thread each."""
    matrix = sample_matrix(models={"spam": 10.0}, labels=("onnxruntime", "torch"), conditions=(("single_stream", 1),))
    several = []
    for cell in matrix["cells"]:
        rate = 2.5 * cell["metrics"]["throughput_ips"]
        metrics = {
            **cell["metrics"], "throughput_ips": rate, "throughput_ci95": [rate * 0.99, rate * 1.01],
            "details": {"fastest_p50_ms": 9.0, "instance.2.p50_ms": 11.0, "odd_thing_ips": 7.0},
            "details_ci95": {"fastest_p50_ms": [8.5, 9.5]},
        }
        several.append({**cell, "id": cell["id"] + "-m", "scenario": "multi_instance", "instances": 2, "threads": 1,
                        "best": False, "metrics": metrics})
    matrix["cells"] += several
    return matrix


def test_columns_name_instances_with_their_threads() -> None:
    (model,) = build_view(matrix_of_instances()).models
    assert [column.title for column in model.columns] == [
        "single stream · batch 1 · 2 threads", "multi instance · batch 1 · 2 × 1 threads"]


def test_throughput_stands_first_with_its_interval_and_latency_below() -> None:
    page = render_html(matrix_of_instances())
    boxes = re.findall(r'<span class="v latency">(.*?)</span>', page, re.S)
    assert "ms" in boxes[0]
    assert re.search(r"<b>2\d\d/s</b>", boxes[1].replace(",", ""))
    assert "<i>" in boxes[1]
    assert re.search(r"<small>p50 (9\.9|10\.)\d* ms</small>", boxes[1])
    assert "Headline figure" in page
    assert "Cells of multi instance are compared by another figure" in page
    assert "Under multi instance" in render_markdown(matrix_of_instances())


def test_without_such_cells_the_page_says_nothing_of_it() -> None:
    page = render_html(sample_matrix())
    assert "Headline figure" not in page
    assert "another figure" not in page


def test_details_stand_in_the_cells_panel_with_words_units_and_interval() -> None:
    page = render_html(matrix_of_instances())
    assert re.search(r"Latency p50, fastest instance<td>9\.00? ms <i>8\.50?–9\.50?</i>", page)
    assert "Instance 2: latency p50<td>11.0 ms" in page
    assert "Odd thing<td>7.00/s" in page
    assert "sum of the processes&#39; peaks" in page


@pytest.mark.parametrize(
    ("path", "title", "unit"),
    [
        ("instance.12.throughput_ips", "Instance 12: throughput", Unit.PER_SECOND),
        ("something_new_ms", "Something new", Unit.MS),
        ("queue.longest", "Queue longest", Unit.PLAIN),
        ("<b>.p50_ms", "<b> p50", Unit.MS),
    ],
)
def test_every_detail_has_a_title_and_a_unit(path: str, title: str, unit: Unit) -> None:
    assert detail_words(path) == (title, unit)
