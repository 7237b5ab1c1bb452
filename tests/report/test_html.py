"""report.html as text: complete, self-contained, and hostile strings stay text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from orchestrator.report.html import render_html
from tests.report.sample import FAILURES, HOSTILE, large_matrix, sample_matrix


class Page(HTMLParser):
    """Tags, attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, _tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(sample_matrix()))


def test_every_cell_has_a_place_in_the_grid_and_a_detail(page: Page) -> None:
    count = len(sample_matrix()["cells"])
    details = {attrs["id"] for tag, attrs in page.tags if tag == "details" and attrs.get("class") == "cell"}
    linked = {attrs["href"][1:] for tag, attrs in page.tags if tag == "a" and re.fullmatch(r"#c\d+", attrs.get("href", ""))}
    assert len(details) == count
    assert linked == details


def test_every_status_has_its_badge_with_the_reason(page: Page) -> None:
    badges = {attrs["data-status"] for tag, attrs in page.tags if "data-status" in attrs}
    for status, reason, _, _ in FAILURES.values():
        assert status in badges
        assert any(attrs.get("title") == reason for _, attrs in page.tags)
        assert reason in page.text


def test_best_is_marked_only_where_it_is_flagged(page: Page) -> None:
    flagged = sum(cell["best"] for cell in sample_matrix()["cells"])
    marked = [attrs for tag, attrs in page.tags if tag == "td" and attrs.get("class") == "won"]
    assert flagged == len(marked) == 2
    matrix = sample_matrix()
    for cell in matrix["cells"]:
        cell["best"] = False
    assert not [1 for tag, attrs in Page(render_html(matrix)).tags if attrs.get("class") == "won"]


def test_speed_of_a_wrong_answer_is_not_in_the_grid() -> None:
    matrix = sample_matrix()
    wrong = next(cell for cell in matrix["cells"] if cell["status"] == "wrong_answer")
    wrong["metrics"]["latency_ms"].update(p50=0.777, ci95=[0.776, 0.778])
    html = render_html(matrix)
    assert html.count("0.777 ms") == 1
    assert "0.777 ms" in html[html.index("not to be compared with anything"):]


def test_null_in_the_grid_has_its_reason_on_hover_and_as_text() -> None:
    matrix = sample_matrix()
    matrix["cells"][0]["metrics"]["memory_peak_mb"] = None
    matrix["cells"][0]["null_reasons"]["metrics.memory_peak_mb"] = "the kernel hides it"
    found = Page(render_html(matrix))
    assert any(tag == "b" and attrs.get("title") == "the kernel hides it" for tag, attrs in found.tags)
    assert "the kernel hides it" in found.text


def test_null_in_the_details_says_why(page: Page) -> None:
    assert "p95 and beyond– 51 samples per trial; 130 needed" in page.text
    assert "no RAPL on this machine" in page.text


def test_a_meter_that_gave_nothing_says_so_once() -> None:
    cell = sample_matrix(models={"spam": 0.011})
    rows = Page(render_html({**cell, "cells": cell["cells"][:1], "comparisons": []})).text
    assert rows.count("no RAPL on this machine") == 1
    assert "GPU" not in rows  # of a cell that ran on the CPU
    cell["cells"][0]["device"] = "cuda"
    rows = Page(render_html({**cell, "cells": cell["cells"][:1], "comparisons": []})).text
    assert rows.count("the cell did not run on a GPU") == 1


def test_energy_is_shown_with_units_and_what_it_lacks_with_the_reason() -> None:
    matrix = sample_matrix(models={"spam": 0.011})
    cell = matrix["cells"][0]
    cell["metrics"].update(energy_j_per_inference=0.0123, energy_j_per_4096=50.4, power_w=201.0)
    cell["null_reasons"]["metrics.idle_power_w"] = "idle power was not measured"
    text = Page(render_html(matrix)).text
    for words in ("above idle0.0123 J", "50.4 J", "201 W", "idle power was not measured"):
        assert words in text.replace("\xa0", " ")


def test_one_trial_says_why_there_is_no_interval() -> None:
    matrix = sample_matrix()
    matrix["cells"][0]["metrics"]["latency_ms"]["ci95"] = None
    matrix["cells"][0]["null_reasons"]["metrics.latency_ms.ci95"] = "one trial; an interval needs two"
    assert "no interval: one trial; an interval needs two" in Page(render_html(matrix)).text


def test_conditions_name_digests_sums_states_settings_and_exclusions(page: Page) -> None:
    for text in (f"sha256:{1:064x}", f"{12:064x}", "core to core ns: 351", "level=all", "torch float64", "6.1.0",
                 "excluded by matrix.yaml, line 14", "an engine answers", "f00dfeed", "seed 1"):
        assert text in page.text, text


def test_page_refers_to_nothing_outside_itself(page: Page) -> None:
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attrs.get(name, "#")
            assert value.startswith("#") or value == "data:,", (tag, name, value)
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "@import" not in render_html(sample_matrix())


def test_hostile_strings_add_no_element_and_no_attribute() -> None:
    plain, hostile = Page(render_html(sample_matrix())), Page(render_html(sample_matrix(hostile=HOSTILE)))
    assert {tag for tag, _ in plain.tags} >= {tag for tag, _ in hostile.tags}
    assert not [tag for tag, _ in hostile.tags if tag == "img"]
    assert len(hostile.scripts) == len(plain.scripts) == 2
    known = {name for _, attrs in plain.tags for name in attrs}
    assert {name for _, attrs in hostile.tags for name in attrs} <= known
    assert "<script>alert(1)</script>" in hostile.text
    assert "{{7*7}}" in hostile.text
    assert "\x1b" not in hostile.text
    assert "\u202e" not in hostile.text


def test_hostile_ids_labels_and_statuses_are_inert_too() -> None:
    matrix = sample_matrix()
    for cell in matrix["cells"]:
        for key in ("id", "label", "backend", "model", "scenario", "device", "host", "precision"):
            cell[key] = f"{cell[key]}{HOSTILE}"
    matrix["cells"][0]["status"] = HOSTILE
    matrix["cells"][1]["stability"]["verdict"] = HOSTILE
    found = Page(render_html(matrix))
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert len(found.scripts) == 2


def test_embedded_data_is_json_that_cannot_end_its_element() -> None:
    matrix = sample_matrix()
    for cell in matrix["cells"]:
        cell["status"] = "</script><script>alert(1)</script>"
    data: dict[str, Any] = json.loads(Page(render_html(matrix)).scripts[-1])
    assert set(data["m0g0"]) == {"latency", "throughput", "memory", "load"}
    assert data["m0g0"]["latency"]["marks"][0] == [None, None, None, "</script><script>alert(1)</script>"]


def test_a_thousand_cells_stay_below_3_mb() -> None:
    matrix = large_matrix()
    assert len(matrix["cells"]) == 1000
    assert len(render_html(matrix).encode()) < 3_000_000


def test_logs_share_a_budget_and_keep_their_end() -> None:
    matrix = sample_matrix()
    for cell in matrix["cells"]:
        cell.update(status="crashed", reason="gone", log_tail="x" * 100_000 + " THE END")
    html = render_html(matrix)
    assert html.count("THE END") == len(matrix["cells"])
    assert len(html) < 500_000


@pytest.mark.parametrize("matrix", [{}, {"cells": []}, {"cells": [{}], "run": None, "hosts": [None], "comparisons": [{}]}])
def test_an_empty_matrix_still_gives_a_page(matrix: dict[str, Any]) -> None:
    assert "The answer" in Page(render_html(matrix)).text


def test_same_matrix_gives_the_same_page() -> None:
    assert render_html(sample_matrix()) == render_html(sample_matrix())


def test_footnote_says_when_rows_ran_one_by_one(page: Page) -> None:
    assert "the rows of a batch ran one by one" in page.text
    matrix = sample_matrix(conditions=(("single_stream", 1),))
    assert "rows of a batch" not in Page(render_html(matrix)).text
