from __future__ import annotations

import pytest

from orchestrator.config.durations import parse_duration


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("0.5h", 1800),
                                               ("2m30s", 150)])
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "10min", "-5m", "1e3s", "5m ", "m5", "1..5s", "٣s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time such as"):
        parse_duration(text)
