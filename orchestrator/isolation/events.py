"""The runner's event lines, read as what they are: text from a container, perhaps cut off, perhaps hostile."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.isolation.base import EVENTS_FILE

MAX_BYTES = 1 << 20
MAX_EVENTS = 2_000
MAX_TEXT = 300
FIELDS = ("t", "phase", "cell", "note")


def read_events(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The well-formed lines of `events.jsonl`, in order; the rest is passed over."""
    path = folder / EVENTS_FILE
    if path.is_symlink() or not path.is_file():
        return ()
    with path.open("rb") as source:
        text = source.read(MAX_BYTES).decode("utf-8", "replace")
    events = (parse_event(line) for line in text.splitlines()[:MAX_EVENTS])
    return tuple(event for event in events if event is not None)


def parse_event(line: str) -> Mapping[str, Any] | None:
    """One line as `{"t": seconds, "phase": …, "cell": …, "note": …}`, or None where it is not an event."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("phase"), str):
        return None
    seconds = raw.get("t")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        return None
    return {name: _bounded(raw.get(name)) for name in FIELDS}


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
