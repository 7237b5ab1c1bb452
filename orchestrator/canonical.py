"""Equal values, equal text: what ids, keys and records are digests of."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Equal values give equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def slug(text: str) -> str:
    """Letters, digits, dots and underscores only: part of a file name or of a container's name."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text).strip("_") or "x"
