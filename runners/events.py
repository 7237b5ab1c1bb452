"""What leaves a runner: the lines of events.jsonl and the result file, always whole and always plain JSON."""

import contextlib
import json
import math
import os
import time
from typing import Any, Dict, Optional

EVENTS_FILE = "events.jsonl"
RESULT_FILE = "result.json"
RESULT_PROTOCOL = "infermatrix.result/1"
MAX_TEXT = 3_000  # the reader refuses texts over 4,000 characters
MAX_NOTE = 250
MAX_DEPTH = 8
MAX_ITEMS = 200
_SAMPLES = "data"  # the one text that may be long: packed samples


class EventLog:
    """Appends one JSON object a line to events.jsonl; `t` is in seconds since the process began."""

    def __init__(self, folder: str, began: Optional[float] = None) -> None:
        self._began = time.monotonic() if began is None else began
        self.phase = "start"  # the last one entered
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(os.path.join(folder, EVENTS_FILE), flags, 0o644)

    def emit(self, phase: str, cell: Optional[str] = None, note: str = "") -> None:
        """One write per line, so that a line is whole or absent whatever kills the process."""
        self.phase = phase
        event = {"t": round(time.monotonic() - self._began, 6), "phase": phase, "cell": cell, "note": note[:MAX_NOTE]}
        with contextlib.suppress(OSError):  # events explain an ending; a full disk must not become one
            os.write(self._file, (json.dumps(event) + "\n").encode())


def write_result(folder: str, result: Dict[str, Any]) -> None:
    """Replace result.json in one step: a reader, or the next process, sees the old one or the new one."""
    path = os.path.join(folder, RESULT_FILE)
    temporary = path + ".tmp"
    text = json.dumps(plain(result), allow_nan=False).encode()
    # No fsync: only a crash of the host could lose it, which loses the trial anyway; it would cost 10 ms per cell.
    with open(temporary, "wb") as file:
        file.write(text)
    os.replace(temporary, path)


def plain(value: Any, depth: int = 0, key: str = "") -> Any:
    """`value` as JSON that the reader accepts: no NaN or infinity (null instead), numpy scalars as numbers, bounded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if key == _SAMPLES or len(value) <= MAX_TEXT else shorten(value)
    if isinstance(value, int):
        return int(value) if -(2 ** 63) <= value < 2 ** 64 else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return shorten(_text(value), 200)
    if isinstance(value, dict):
        bounded = list(value.items())[:MAX_ITEMS * 5]
        return {shorten(str(name), 200): plain(item, depth + 1, str(name)) for name, item in bounded}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in list(value)[:MAX_ITEMS * 5]]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item(), depth + 1)
    return shorten(_text(value), 200)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """At most `limit` characters, keeping both ends: frameworks put the cause at either."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return text[:head] + " … " + text[len(text) - (limit - head - 3):]


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return "<{} whose text raises {}>".format(type(value).__name__, type(error).__name__)
