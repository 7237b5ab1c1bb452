"""What every isolation offers, and the pieces they share."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import docker.errors
import requests

from orchestrator.errors import BuildError
from orchestrator.model import EnvSpec, IsolationKind, Outcome, ReadyEnv, RunRequest

LOG_TAIL_BYTES = 4_000
RESULT_FILE = "result.json"
EVENTS_FILE = "events.jsonl"
ENGINE_ERRORS = (docker.errors.DockerException, requests.RequestException)  # an engine that refuses, or is not there


class Isolation(Protocol):
    """One way to keep dependencies apart; every method may be called from one thread at a time only."""

    @property
    def kind(self) -> IsolationKind: ...

    def prepare(
        self, envs: Mapping[str, EnvSpec], say: Callable[[str], None]
    ) -> Mapping[str, ReadyEnv | BuildError]:
        """Make every environment exist, under the caller's names; one that fails is returned as its error, the others
        are unaffected."""

    def stage(self, folders: Iterable[Path], env: ReadyEnv) -> None:
        """Bring what trials will read to where they run, ahead of the first; what cannot be brought fails in `run`."""

    def keep(self, folder: Path, env: ReadyEnv) -> str | None:
        """Make an empty place, known by that name, that processes may write to and that outlives them (`RunRequest.kept`).

        Returns why it could not be made: then no process must be given it.
        """

    def keeps(self, folder: Path) -> bool:
        """Whether there is such a place."""

    def run(self, request: RunRequest, stop: Stop) -> Outcome:
        """Run one process to its end, its deadline or `stop`; nothing of it is left running."""

    def close(self) -> None:
        """Give back what the run held (volumes, locks)."""


@dataclass(kw_only=True)
class Stop:
    """Set by Ctrl-C or SIGTERM; long waits look at it at least once a second."""

    event: threading.Event = field(default_factory=threading.Event)
    reason: str = ""
    patient: bool = False  # True while somebody looks at it; otherwise a signal raises KeyboardInterrupt at once

    def request(self, reason: str) -> None:
        """Ask everything to stop, saying why."""
        self.reason = self.reason or reason
        self.event.set()

    @property
    def requested(self) -> bool:
        """True once somebody asked to stop."""
        return self.event.is_set()

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """While trials run: a first signal lets the running one be ended cleanly, a second one does not wait."""
        self.patient = True
        try:
            yield
        finally:
            self.patient = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM request a stop for as long as this lasts."""

        def handle(number: int, _frame: object) -> None:
            again = self.requested
            self.request(signal.Signals(number).name)
            if again or not self.patient:
                raise KeyboardInterrupt

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(kw_only=True)
class Laps:
    """Where a trial's time outside of its process goes: each lap lasts from the one before it to its own call."""

    ms: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """End a lap; what is named twice adds up."""
        now = time.monotonic()
        self.ms[name] = self.ms.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now


def place(value: Any, inside: Callable[[Path], str]) -> Any:
    """The job with every Path replaced by where that file lies inside the isolation."""
    if isinstance(value, Path):
        return inside(value)
    if isinstance(value, Mapping):
        return {key: place(item, inside) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [place(item, inside) for item in value]
    return value

