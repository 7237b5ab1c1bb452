"""What each environment takes on a disk: measured when it was installed somewhere, published in `results/sizes.json`.

A lock says which wheels, not how large they are; and they grow when they are unpacked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.images.lockfile import Lock
from orchestrator.images.locks import read_lock
from orchestrator.model import EnvSpec
from orchestrator.records import read_json

SCHEMA = "infermatrix.sizes/1"
FILE = "sizes.json"
_MARKERS = "venvs/*/infermatrix.json"


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of one environment on one Python, in MB of 10⁶ bytes."""

    lock: str  # digest of the lock that it was installed from
    installed_mb: float
    wheels_mb: float | None  # None: not all of them were in the cache any more
    packages: int


def measure(envs: Iterable[EnvSpec], cache: Path) -> dict[str, Size]:
    """By environment, those that some run installed into the cache from a lock that still stands."""
    installed = {}
    for marker in sorted(cache.glob(_MARKERS)):
        known = json.loads(marker.read_text())
        installed[known["lock"]] = known
    found: dict[str, Size] = {}
    for env in envs:
        for path in sorted(env.folder.glob("lock-*.txt")):
            lock = read_lock(path)
            if (known := installed.get(lock.digest)) is not None:
                found[env.name] = Size(lock=lock.digest, installed_mb=known["size_mb"], packages=known["packages"],
                                       wheels_mb=_wheels_mb(lock, cache))
    return found


def _wheels_mb(lock: Lock, cache: Path) -> float | None:
    wheels = [next((path for sha in pin.sha256 for path in (cache / "wheels" / sha).glob("*")), None) for pin in lock.pins]
    return None if None in wheels else round(sum(path.stat().st_size for path in wheels if path) / 1e6, 1)


def document(sizes: Mapping[str, Size], *, command: str, day: date) -> dict[str, Any]:
    """For `results/sizes.json`."""
    return {"schema": SCHEMA, "date": day.isoformat(), "command": command,
            "environments": {name: asdict(size) for name, size in sorted(sizes.items())}}


def load(results: Path) -> dict[str, Size]:
    """The published sizes; none where the file is missing.

    Raises:
        ResultError: it is there and cannot be understood.
    """
    path = results / FILE
    if not path.is_file():
        return {}
    return parse_sizes(read_json(path, schema=SCHEMA), path)


def parse_sizes(whole: Mapping[str, Any], path: Path) -> dict[str, Size]:
    """Of a document that was read from `path`. Raises ResultError."""
    try:
        return {name: Size(**size) for name, size in whole["environments"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path}: not the sizes of environments ({error})", hint="git checkout it, or delete it") from None
