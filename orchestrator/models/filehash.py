"""SHA-256 of files, remembered by size and modification time so that gigabytes are read once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

_REMEMBER_FROM = 4 * 1024**2  # smaller files are read faster than looked up
_CHUNK = 4 * 1024**2
_MAX_ENTRIES = 1000


class FileHashes:
    """A small JSON file of known hashes; losing it costs time only."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def sha256(self, path: Path) -> str:
        """Hex digest of the file's content."""
        status = path.stat()
        if status.st_size < _REMEMBER_FROM:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        # By inode, not path: a prepared folder is renamed into place, and large files are hard links.
        key = f"{status.st_dev}:{status.st_ino}"
        stamp = [status.st_size, status.st_mtime_ns]
        known = self._load().get(key)
        if isinstance(known, dict) and known.get("stamp") == stamp and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        value = _hash(path)
        entries = self._load()
        entries[key] = {"stamp": stamp, "sha256": value}
        self._save(entries)
        return value

    def _load(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._store.read_text())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def _save(self, entries: dict[str, Any]) -> None:
        self._store.parent.mkdir(parents=True, exist_ok=True)
        kept = dict(list(entries.items())[-_MAX_ENTRIES:])
        temporary = self._store.with_name(f"{self._store.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(kept))
        temporary.replace(self._store)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
