"""Record files: written atomically, one per trial and cell, and found again by name alone.

The name carries what resume needs (`<cell>.<key>.t<trial>.a<attempt>.<status>[.invalid].json`), so that a finished
matrix of a thousand cells is recognised by listing one folder.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.model import Cell, Profile, Status, canonical_json, digest

SCHEMA = "infermatrix.record/1"
_NAME = re.compile(
    r"(?P<cell>.+)\.(?P<key>[0-9a-f]{12})\.t(?P<trial>\d+)\.a(?P<attempt>\d+)\.(?P<status>[a-z_]+)(?P<invalid>\.invalid)?\.json"
)
# A cell that failed this way fails again: one trial says it all. The others get a second chance.
_SETTLED_AT_ONCE = frozenset(
    {Status.UNSUPPORTED, Status.CONVERT_FAILED, Status.COMPILE_FAILED, Status.FALLBACK, Status.WRONG_ANSWER, Status.BUILD_FAILED}
)
_SETTLED_AFTER = 2


def record_key(cell: Cell, conditions: Mapping[str, Any]) -> str:
    """The content of what a record measures: the cell under its conditions (env, model, host, protocol, profile)."""
    return digest({"cell": cell.canonical(), "conditions": conditions})[:12]


@dataclass(kw_only=True)
class CellProgress:
    """What is on disk for one cell under one key."""

    done: set[int] = field(default_factory=set)  # trials with a valid record
    attempts: dict[int, int] = field(default_factory=dict)  # trial -> attempts made, valid or not
    counted: set[int] = field(default_factory=set)  # of these, trials that ended well
    disturbed: set[int] = field(default_factory=set)  # trials that ended well and do not count
    failures: dict[Status, int] = field(default_factory=dict)

    def note(self, trial: int, attempt: int, status: Status, *, valid: bool) -> None:
        """Take a record into account."""
        self.attempts[trial] = max(self.attempts.get(trial, 0), attempt + 1)
        if status.is_infrastructure:
            return
        (self.done if valid else self.disturbed).add(trial)
        if status is Status.OK and valid:
            self.counted.add(trial)
        elif status is not Status.OK:
            self.failures[status] = self.failures.get(status, 0) + 1

    @property
    def settled(self) -> bool:
        """True where further trials would only repeat a failure."""
        return any(
            count >= _SETTLED_AFTER or status in _SETTLED_AT_ONCE for status, count in self.failures.items()
        )

    def wants(self, trial: int, profile: Profile) -> bool:
        """True while trial number `trial` is still missing and may be tried again.

        Where the profile says how many are `enough`, one that was disturbed is not while so many count, or still may.
        """
        if trial in self.done or self.settled or not self._may(trial, profile):
            return False
        if trial not in self.disturbed or not profile.enough:
            return True
        untried = set(range(profile.trials)) - self.done - self.disturbed
        return len(self.counted) + sum(self._may(other, profile) for other in untried) < profile.enough

    def _may(self, trial: int, profile: Profile) -> bool:
        return self.attempts.get(trial, 0) <= profile.max_retries


class RecordStore:
    """The `records/` folder of one run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def progress(self) -> dict[tuple[str, str], CellProgress]:
        """Per (cell id, key) what is there already."""
        found: dict[tuple[str, str], CellProgress] = {}
        for entry in os.scandir(self._folder):
            match = _NAME.fullmatch(entry.name)
            if match and match["status"] in Status._value2member_map_:
                progress = found.setdefault((match["cell"], match["key"]), CellProgress())
                progress.note(int(match["trial"]), int(match["attempt"]), Status(match["status"]), valid=not match["invalid"])
        return found

    def write(self, record: Mapping[str, Any]) -> Path:
        """Store one record; whoever looks sees it whole or not at all."""
        trial = record["trial"]
        kind = ".anchor" if trial["anchor"] else ""
        invalid = "" if record["valid"] else ".invalid"
        name = (
            f"{record['cell']['id']}{kind}.{record['key']}.t{trial['index']}.a{trial['attempt']}."
            f"{record['status']}{invalid}.json"
        )
        return write_atomically(self._folder / name, canonical_json(record).encode())

    def forget_infrastructure(self) -> int:
        """Remove records that only say that the host failed or the run was stopped; returns how many."""
        removed = 0
        for entry in list(os.scandir(self._folder)):
            match = _NAME.fullmatch(entry.name)
            if match and match["status"] in Status._value2member_map_ and Status(match["status"]).is_infrastructure:
                Path(entry.path).unlink()
                removed += 1
        return removed

    def read_all(self) -> Iterator[dict[str, Any]]:
        """Every record, in name order.

        Raises:
            ResultError: a file is damaged or of another schema; names the file.
        """
        with os.scandir(self._folder) as found:
            names = sorted(entry.name for entry in found if entry.name.endswith(".json"))
        for name in names:
            yield read_json(self._folder / name, schema=SCHEMA)


def read_json(path: Path, *, schema: str) -> dict[str, Any]:
    """A JSON document of ours.

    Raises:
        ResultError: it cannot be read, is not JSON or is of another schema.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror})", hint="name a run directory or a file of one") from None
    except (ValueError, RecursionError):
        raise ResultError(f"{path}: not JSON, or cut off", hint="delete the file; the next run measures it again") from None
    found = value.get("schema") if isinstance(value, dict) else None
    if found != schema:
        raise ResultError(
            f"{path}: schema is {found!r}, expected {schema!r}", hint="it was written by another version or another program"
        )
    return dict(value)


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` so that `path` holds either what it held before or all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
