"""Which processor this is, for compilers that write machine code for it: code for another must never be run."""
from __future__ import annotations

import hashlib
import platform


def cpu_identity(path: str = "/proc/cpuinfo") -> str:
    """16 hex digits of the machine, its model and its instruction sets; two equal processors have the same."""
    wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU implementer", "CPU part")
    found = {"machine": platform.machine()}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in wanted:
                    found.setdefault(name.strip(), " ".join(sorted(value.split())))
    except OSError:
        found["unknown"] = platform.processor() + platform.node()  # nothing is shared between machines then
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]
