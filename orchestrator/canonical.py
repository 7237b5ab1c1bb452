"""Equal values, equal text: what ids, keys and records are digests of."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

# One encoder for all: `json.dumps` would make one per call, which for the ids of a large matrix is half of the time.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def canonical_json(value: Any) -> str:
    """Equal values give equal text: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@lru_cache(maxsize=4096)  # the coordinates of a matrix are few, its cells are many
def slug(text: str) -> str:
    """Letters, digits, dots and underscores only: part of a file name or of a container's name."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text).strip("_") or "x"
