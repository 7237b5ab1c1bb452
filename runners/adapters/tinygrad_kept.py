"""Captured graphs of tinygrad on disk: TinyJit pickles itself with its weights, and its kernels by what compiles them.

Their machine code lies in tinygrad's own cache of kernels, so both are needed for a process that compiles nothing.
"""
from __future__ import annotations

import hashlib
import importlib
import itertools
import os
import pickle
from typing import Any, Dict, Mapping, Optional, Tuple

from .base import CacheUse, Params
from .kept_key import kept_key

CANNOT = "its captured graph cannot be written down: {}"


class KeptGraphs:
    """Those of one model in `params.cache_dir`; without `keep_cache` there are none, and none are kept."""

    def __init__(self, path: str, params: Params, versions: Mapping[str, str]) -> None:
        self._params = params
        self._key = kept_key(path, params, versions) if params.keep_cache else ""
        self._taken = self._made = 0
        self._error = ""

    def take(self, shapes: Any) -> Optional[Tuple[Any, Dict[str, int]]]:
        """The graph for inputs of these shapes, and how many of its kernels name which floating-point type; None: not there."""
        if not self._params.keep_cache or not os.path.exists(self._file(shapes)):
            return None
        with open(self._file(shapes), "rb") as file:  # what this adapter itself left there, with the same tinygrad
            found: Tuple[Any, Dict[str, int]] = pickle.load(file)
        self._taken += 1
        return found

    def number_buffers(self, shapes: Any) -> None:
        """Call it before a capture that is kept: its buffers get numbers that no other process gives.

        tinygrad tells buffers apart by a running number, size and type. A process that takes the graph counts from 0 again: an
        input of its own, of a size that occurs in the graph, was taken for a buffer of the graph, and the answers were wrong.
        """
        if self._params.keep_cache:
            start = (1 + int(self._digest(shapes)[:7], 16)) << 32
            importlib.import_module("tinygrad.uop.ops").UOp.unique_num = itertools.count(start)

    def leave(self, shapes: Any, graph: Any, types: Mapping[str, int]) -> None:
        """For the next process; what cannot be pickled is not kept, and `use` says so."""
        self._made += 1
        if not self._params.keep_cache:
            return
        target = self._file(shapes)
        try:
            with open(target + ".new", "wb") as file:
                pickle.dump((graph, dict(types)), file, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            self._error = " ".join(str(error).split())[:200]
            os.remove(target + ".new")
        else:
            os.replace(target + ".new", target)

    def use(self, compiled: int) -> Optional[CacheUse]:
        """For the evidence, from the kernels that were compiled in this process; None where nothing was to be kept."""
        if not self._params.keep_cache:
            return None
        if self._error:
            return CacheUse(kind="none", note=CANNOT.format(self._error))
        return CacheUse(kind="captured graphs", hit=self._taken > 0 and self._made == compiled == 0,
                        detail={"from_cache": self._taken, "captured": self._made, "kernels_compiled": compiled})

    def _file(self, shapes: Any) -> str:
        return os.path.join(str(self._params.cache_dir), f"tinygrad-{self._digest(shapes)}.pickle")

    def _digest(self, shapes: Any) -> str:
        return hashlib.sha256(repr((self._key, shapes)).encode()).hexdigest()[:24]
