from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.isolation.events import MAX_TEXT, parse_event, read_events


@given(st.text())
def test_no_text_makes_the_reader_fail(line: str) -> None:
    parse_event(line)


def test_a_line_cut_off_in_the_middle_costs_that_line_only(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"t": 0.1, "phase": "load"}\n{"t": 0.2, "pha')
    assert [event["phase"] for event in read_events(tmp_path)] == ["load"]


def test_a_number_that_is_none_and_long_text_are_bounded() -> None:
    assert parse_event('{"t": NaN, "phase": "load"}') is None
    event = parse_event('{"t": 1, "phase": "' + "x" * 5000 + '"}')
    assert event is not None
    assert len(event["phase"]) == MAX_TEXT


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"t": 0.1, "phase": "load"}\n')
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    assert read_events(tmp_path) == ()
