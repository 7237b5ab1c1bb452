"""What went wrong, in the protocol's words: from an exception to a kind and one readable message."""

import re
import sys
import traceback
from typing import Any, Dict, Tuple

from adapters.base import Fallback, Unsupported
from events import shorten

MAX_MESSAGE = 1_500
# How the frameworks' native code says that memory ended; numpy and torch raise a MemoryError or a RuntimeError of such a text.
_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|out of memory|out_of_memory|outofmemory|cannot allocate memory|can't allocate memory|"
    r"(failed|unable|not able) to allocate", re.IGNORECASE)
_CELL_STATUS = {"unsupported": "unsupported", "oom": "oom", "fallback": "failed", "error": "failed"}


class Terminated(BaseException):
    """SIGTERM arrived. No `Exception`, so that a framework's own handlers let it pass."""


class Broken(Exception):
    """The trial cannot go on to its cells; carries the result's `failure`."""

    def __init__(self, phase: str, error: BaseException) -> None:
        super().__init__(phase)
        self.failure = failure(phase, error)


def kind_of(error: BaseException) -> str:
    """unsupported, fallback, oom or error."""
    if isinstance(error, Unsupported):
        return "unsupported"
    if isinstance(error, Fallback):
        return "fallback"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(_text(error)):
        return "oom"
    return "error"


def message_of(error: BaseException) -> str:
    """What a reader of the matrix sees; the traceback goes to the log."""
    if isinstance(error, (Unsupported, Fallback)):
        return shorten(error.reason, MAX_MESSAGE)
    text = _text(error).strip()
    name = type(error).__name__
    return shorten("{}: {}".format(name, text) if text else name, MAX_MESSAGE)


def failure(phase: str, error: BaseException) -> Dict[str, Any]:
    """The result's `failure`; logs the traceback of what is not the backend's own word."""
    _log(error)
    return {"phase": phase, "kind": kind_of(error), "message": message_of(error)}


def cell_status(error: BaseException) -> Tuple[str, str]:
    """(status, reason) of a cell that `error` ended; logs like `failure`."""
    _log(error)
    return _CELL_STATUS[kind_of(error)], message_of(error)


def _log(error: BaseException) -> None:
    if not isinstance(error, (Unsupported, Fallback)):
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be shown"
