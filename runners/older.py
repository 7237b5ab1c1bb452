"""What Python 3.6 and 3.7 lack of what the runner uses; whatever is started as a process calls `fill_gaps` first.

Newer ones are left as they are. `dataclasses`, which 3.6 lacks too, is a package that an environment of that Python brings.
"""
import gc
import os
import sys
import tempfile
import time
from typing import Any, Callable

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "clock_gettime")
_BOOTTIME = 7  # CLOCK_BOOTTIME of Linux


def fill_gaps() -> None:
    """Give the standard library's modules the functions that newer Pythons have."""
    if sys.version_info < (3, 7):
        for name in _CLOCKS:
            setattr(time, name + "_ns", _in_ns(getattr(time, name)))
        setattr(time, "CLOCK_BOOTTIME", _BOOTTIME)  # noqa: B010
        setattr(gc, "freeze", _leave)  # noqa: B010
    if sys.version_info < (3, 8):
        setattr(os, "memfd_create", _unlinked_file)  # noqa: B010


def _in_ns(clock: Callable[..., float]) -> Callable[..., int]:
    """Of seconds as a float: since boot they are exact to 2 ns for a hundred days, since 1970 to a quarter microsecond."""
    def read(*arguments: Any) -> int:
        return int(clock(*arguments) * 1e9)

    return read


def _leave() -> None:
    """Nothing to freeze objects with: later collections look at all of them."""


def _unlinked_file(name: str, _flags: int = 0) -> int:
    """A file without a name, as a descriptor: shared memory by another way."""
    handle, path = tempfile.mkstemp(prefix=name)
    os.unlink(path)
    return handle
