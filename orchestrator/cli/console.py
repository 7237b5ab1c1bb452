"""What a person sees while work goes on: progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.status import Status as RichStatus

from orchestrator.cli.common import program

_COMMAND = re.compile(
    r"(?<![\w/.-])infermatrix "
    r"(?=(?:run|plan|init|backends|models|base|lock|render|build|merge|report|doctor|clean|conformance)\b)"
)


class Console:
    """Progress goes to standard error, so that standard output holds results only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._rich = RichConsole(stderr=True, highlight=False)
        self._quiet = quiet
        self._begin = time.monotonic()
        self._status: RichStatus | None = None

    def say(self, text: str) -> None:
        """One line: with a clock, since a reader of a log wants to know what took so long."""
        if self._quiet:
            return
        elapsed = time.monotonic() - self._begin
        self._rich.print(f"[{elapsed:7.1f} s] {text}", markup=False, soft_wrap=True)
        if self._status is not None:
            self._status.update(_shorten(text))

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A spinner on a terminal while something long goes on; nothing elsewhere."""
        if self._quiet or not self._rich.is_terminal:
            yield
            return
        with self._rich.status(what) as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None


def complain(message: str, hint: str) -> None:
    """An expected error: one sentence, and what to do."""
    print(f"infermatrix: {message}", file=sys.stderr)
    if hint:
        # A command in a hint is there to be copied: as the program was called, wherever it is installed.
        print(f"  hint: {_COMMAND.sub(lambda _: f'{program()} ', hint)}", file=sys.stderr)


def _shorten(text: str, limit: int = 90) -> str:
    return (text if len(text) <= limit else text[: limit - 1] + "…").replace("[", "(").replace("]", ")")
