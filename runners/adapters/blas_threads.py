"""Which OpenBLAS this process has loaded, and with how many threads, asked of the library itself.

What computes through numpy has the threads of numpy's matrix products; OpenBLAS starts as many as its variables say.
"""
from __future__ import annotations

import ctypes
import os
from typing import Any, Dict, List

SUFFIXES = ("", "64_")  # numpy's own builds have 64-bit indices and say so in every name


def loaded_openblas(maps: str = "/proc/self/maps") -> List[Dict[str, Any]]:
    """Per library: `file`, `of` (the package that brought it), `threads`, `config` (version and kernels)."""
    paths = []
    with open(maps, encoding="utf-8", errors="replace") as file:
        for line in file:
            path = line[line.index("/"):].strip() if "/" in line else ""
            if "openblas" in os.path.basename(path) and path not in paths:
                paths.append(path)
    return [_asked(path) for path in paths]


def threads_of(package: str, libraries: List[Dict[str, Any]]) -> int:
    """Of the library that came with that package ("numpy"); 0 where there is none that says so."""
    return max((int(one["threads"]) for one in libraries if one["of"] == package), default=0)


def _asked(path: str) -> Dict[str, Any]:
    library = ctypes.CDLL(path)
    said: Dict[str, Any] = {"file": os.path.basename(path), "of": os.path.basename(os.path.dirname(path)).split(".")[0],
                            "threads": 0, "config": ""}
    for suffix in SUFFIXES:
        if hasattr(library, "openblas_get_num_threads" + suffix):
            said["threads"] = int(getattr(library, "openblas_get_num_threads" + suffix)())
            config = getattr(library, "openblas_get_config" + suffix)
            config.restype = ctypes.c_char_p
            said["config"] = (config() or b"").decode(errors="replace").strip()
            break
    return said
