"""What torch.compile took from inductor's cache on disk, by its own counters and by the libraries that are mapped."""
from __future__ import annotations

import contextlib
import os
from typing import Dict, Set

from .base import CacheUse

_BYPASSED = ("inductor does not keep graphs whose weights are frozen into them (setting freezing): graph and wrapper were made "
             "anew, the compiled kernels were {}")


class InductorCache:
    """One cache directory; made before anything is compiled."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._before = _libraries(folder)

    def use(self) -> CacheUse:
        """A hit is a graph that came from the cache, or, where inductor passes its graph cache by, all kernels that did."""
        from torch._dynamo.utils import counters

        found = counters["inductor"]
        counts: Dict[str, int] = {name: found[f"fxgraph_cache_{name}"] for name in ("hit", "miss", "bypass")}
        new = len(_libraries(self._folder) - self._before)
        reused = len(mapped() & self._before)
        graphs = {f"graphs_{name}": number for name, number in counts.items()}
        detail = {**graphs, "kernels_compiled": new, "kernels_reused": reused}
        if counts["bypass"] and not counts["hit"]:
            all_reused = reused > 0 and new == 0 and counts["miss"] == 0
            return CacheUse(kind="inductor kernels", hit=all_reused, detail=detail,
                            note=_BYPASSED.format("taken from the cache" if all_reused else "compiled anew"))
        return CacheUse(kind="inductor graphs", hit=counts["hit"] > 0 and counts["miss"] == counts["bypass"] == 0, detail=detail)


def not_compiled(mode: str) -> CacheUse:
    """Of the other modes."""
    return CacheUse(kind="none", note=f"PyTorch keeps nothing between processes in mode {mode}; the modes compile and aot do")


def _libraries(folder: str) -> Set[str]:
    return {os.path.realpath(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names
            if name.endswith(".so")}


def mapped() -> Set[str]:
    """Files that this process has mapped."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return {line.split(None, 5)[5].rstrip("\n") for line in file if line.count("/")}
    return set()
