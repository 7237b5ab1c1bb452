"""Compiling a model in a process of its own, once per batch size, and keeping what came out for the next process.

For compilers that ahead of time make machine code: the measured process stays free of them. A compiler's module has the
function `compile_model(job)`, which writes to `job["folder"]` and returns what is known of the result, and runs `main` with
it; `python -m adapters.<module> JOB.json` in the runner's folder then ends with 0, 3 (refused: reason.txt says why) or another.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .base import CacheUse, Feeds, Params, Unsupported
from .cpu_identity import cpu_identity
from .static_onnx import shapes_for

EXIT_UNSUPPORTED = 3
ABOUT, REASON = "about.json", "reason.txt"
RUNNERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Refused(Exception):
    """The importer or the compiler says that it cannot; the message is one sentence."""


def main(arguments: List[str], compile_model: Callable[[Dict[str, Any]], Dict[str, Any]]) -> int:
    """The command of a compiler's module."""
    with open(arguments[0], encoding="utf-8") as file:
        job = json.load(file)
    try:
        about = compile_model(job)
    except Refused as error:
        with open(os.path.join(job["folder"], REASON), "w", encoding="utf-8") as file:
            file.write(str(error))
        return EXIT_UNSUPPORTED
    with open(os.path.join(job["folder"], ABOUT), "w", encoding="utf-8") as file:
        json.dump(about, file)
    return 0


class PerBatch:
    """What was compiled for each batch size that will be measured."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._made: Dict[Optional[int], Any] = {}

    def fill(self, make: Callable[[Optional[int]], Any]) -> None:
        """`make(rows)` for each size; once, with None, for a model that is not batchable."""
        for rows in self._params.batches if self._params.batchable else (None,):
            self._made[rows] = make(rows)

    def of(self, inputs: Feeds) -> Any:
        """What was made for so many rows. Raises Unsupported where nothing was."""
        rows = len(inputs[self._params.input_order[0]]) if self._params.batchable else None
        if rows not in self._made:
            raise Unsupported(f"compiled for batches of {', '.join(str(one) for one in self._made)}, not {rows}")
        return self._made[rows]

    @property
    def sizes(self) -> List[int]:
        """Batch sizes, in the order in which they were compiled."""
        return [rows or self._params.fixed_batch for rows in self._made]


class ChildCompiler:
    """Compiled folders by batch size, made or taken from the kept cache; what is kept belongs to one processor."""

    def __init__(self, module: str, path: str, params: Params, options: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """`module`: of the compiler, below adapters; `options`: what the job says beside path, names, shapes, threads."""
        self._module, self._path, self._params, self._options, self._versions = module, path, params, dict(options), versions
        self._compiled = self._from_cache = 0

    def folder(self, rows: Optional[int]) -> Tuple[str, Dict[str, Any]]:
        """The folder that holds the module for so many rows (None: not batchable), and what its compiler said of it.

        Raises:
            Unsupported: in the compiler's words.
        """
        params = self._params
        shapes = shapes_for(params.samples, params.input_order, rows)
        root = params.cache_dir or tempfile.mkdtemp(prefix="compiled-")
        kept = os.path.join(root, f"{self._module}-{self._key(shapes)}")
        if params.keep_cache and os.path.exists(os.path.join(kept, ABOUT)):
            self._from_cache += 1
        else:
            folder = tempfile.mkdtemp(dir=root, prefix="compiling-")
            self._compile(folder, shapes)
            shutil.rmtree(kept, ignore_errors=True)
            os.rename(folder, kept)
        self._compiled += 1
        with open(os.path.join(kept, ABOUT), encoding="utf-8") as file:
            return kept, json.load(file)

    def cache_use(self) -> Optional[CacheUse]:
        """For the evidence; None where nothing was to be kept."""
        if not self._params.keep_cache:
            return None
        return CacheUse(kind="compiled module", hit=self._from_cache == self._compiled > 0,
                        detail={"modules": self._compiled, "from_cache": self._from_cache})

    def _compile(self, folder: str, shapes: List[Tuple[int, ...]]) -> None:
        params = self._params
        job = {**self._options, "path": os.path.abspath(self._path), "names": list(params.input_order), "shapes": shapes,
               "threads": params.threads, "folder": os.path.abspath(folder)}
        with open(os.path.join(folder, "job.json"), "w", encoding="utf-8") as file:
            json.dump(job, file)
        done = subprocess.run([sys.executable, "-m", f"adapters.{self._module}", file.name], cwd=RUNNERS, check=False,
                              stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if done.returncode == EXIT_UNSUPPORTED:
            with open(os.path.join(folder, REASON), encoding="utf-8") as file:
                raise Unsupported(file.read())
        if done.returncode:
            how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with exit code {done.returncode}"
            raise RuntimeError(f"the compiler ({self._module}) {how}")

    def _key(self, shapes: Sequence[Sequence[int]]) -> str:
        about = (shapes, self._options, self._params.threads, cpu_identity(), sorted(self._versions.items()))
        digest = hashlib.sha256(repr(about).encode())
        with open(self._path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()[:24]
