"""What every isolation offers, and the pieces they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import BuildError
from orchestrator.model import EnvSpec, IsolationKind, Outcome, ReadyEnv, RunRequest

LOG_TAIL_BYTES = 4_000
RESULT_FILE = "result.json"
EVENTS_FILE = "events.jsonl"


class Isolation(Protocol):
    """One way to keep dependencies apart; every method may be called from one thread at a time only."""

    @property
    def kind(self) -> IsolationKind: ...

    def prepare(
        self, envs: Sequence[EnvSpec], say: Callable[[str], None]
    ) -> Mapping[str, ReadyEnv | BuildError]:
        """Make every environment exist; one that fails is returned as its error, the others are unaffected."""

    def run(self, request: RunRequest, stop: Stop) -> Outcome:
        """Run one process to its end, its deadline or `stop`; nothing of it is left running."""

    def close(self) -> None:
        """Give back what the run held (volumes, locks)."""


@dataclass(kw_only=True)
class Stop:
    """Set by Ctrl-C or SIGTERM; long waits look at it at least once a second."""

    event: threading.Event = field(default_factory=threading.Event)
    reason: str = ""

    def request(self, reason: str) -> None:
        """Ask everything to stop, saying why."""
        self.reason = self.reason or reason
        self.event.set()

    @property
    def requested(self) -> bool:
        """True once somebody asked to stop."""
        return self.event.is_set()


def place(value: Any, inside: Callable[[Path], str]) -> Any:
    """The job with every Path replaced by where that file lies inside the isolation."""
    if isinstance(value, Path):
        return inside(value)
    if isinstance(value, Mapping):
        return {key: place(item, inside) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [place(item, inside) for item in value]
    return value

