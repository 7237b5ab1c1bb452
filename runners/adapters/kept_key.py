"""The name under which something that was compiled is kept: everything that it depends on, digested."""
from __future__ import annotations

import hashlib
from typing import Mapping

from .base import Params
from .cpu_identity import cpu_identity


def kept_key(path: str, params: Params, versions: Mapping[str, str]) -> str:
    """64 hex digits over the model's file, precision, settings, threads, names, versions and the kind of processor."""
    about = (sorted(params.settings.items()), params.precision, params.threads, list(params.input_order),
             list(params.output_order), cpu_identity(), sorted(versions.items()))
    found = hashlib.sha256(repr(about).encode())
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()
