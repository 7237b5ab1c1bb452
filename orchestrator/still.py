"""A sign of life from what takes minutes and says nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def still(what: str, say: Callable[[str], None], *, every_s: float = 60.0) -> Iterator[None]:
    """Says `what` at once, and every minute that it is still going on."""
    over = threading.Event()
    began = time.monotonic()

    def repeat() -> None:
        while not over.wait(every_s):
            say(f"still {what}, for {(time.monotonic() - began) / 60:.0f} min")

    say(what)
    reminder = threading.Thread(target=repeat, daemon=True, name="still")
    reminder.start()
    try:
        yield
    finally:
        over.set()
        reminder.join()
