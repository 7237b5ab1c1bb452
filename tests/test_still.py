"""What takes minutes says so, and is silent again once it is over."""

from __future__ import annotations

import time

import pytest

from orchestrator.still import still


def test_long_work_says_that_it_still_goes_on() -> None:
    said: list[str] = []
    with still("converting", said.append, every_s=0.01):
        deadline = time.monotonic() + 20
        while len(said) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert said[:3] == ["converting", "still converting, for 0 min", "still converting, for 0 min"]
    count = len(said)
    time.sleep(0.05)
    assert len(said) == count


def test_short_work_is_said_once_and_errors_pass() -> None:
    said: list[str] = []
    with pytest.raises(RuntimeError, match="broken"), still("converting", said.append):
        raise RuntimeError("broken")
    assert said == ["converting"]
