"""Who holds a lock, written where those who wait can read it: which process, since when, for which run directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from orchestrator.isolation.owner import Owner, host_identity

MAX_TEXT = 4096


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that measures, and what for."""

    owner: Owner
    folder: str
    since: datetime

    @classmethod
    def this_process(cls, folder: Path) -> Holder:
        """The process that calls, from now on, for the run in `folder`."""
        return cls(owner=Owner.this_process(), folder=str(folder), since=datetime.now(timezone.utc))

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """The holder as `to_text` wrote it, or None where the text is not ours: anyone may write into the lock's file."""
        try:
            found = json.loads(text[:MAX_TEXT])
            owner, since = Owner.parse(found["owner"]), datetime.fromisoformat(found["since"])
            folder = str(found["folder"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return None if owner is None or since.tzinfo is None else cls(owner=owner, folder=folder, since=since)

    def to_text(self) -> str:
        """One line of JSON."""
        return json.dumps({"owner": str(self.owner), "folder": self.folder, "since": self.since.isoformat(timespec="seconds")})

    def describe(self) -> str:
        """For those who wait: `process 4711, since 14:03 UTC, for /home/me/results/local/default-1a2b3c4d`."""
        host = self.owner.host.split("/")[0]
        where = "" if host == host_identity().split("/")[0] else f" on {_shown(host)}"
        since = self.since.astimezone(timezone.utc)
        return f"process {self.owner.pid}{where}, since {since:%Y-%m-%d %H:%M} UTC, for {_shown(self.folder)}"


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:500])
