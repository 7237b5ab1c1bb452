"""Where wheels, resolved locks and virtual environments are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """`$INFERMATRIX_CACHE`, else the user's cache folder; not created here."""
    chosen = os.environ.get("INFERMATRIX_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path(platformdirs.user_cache_dir("infermatrix"))
