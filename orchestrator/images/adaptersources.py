"""Which files of the runner something is made of, found in the sources: nothing is imported for it."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterable
from pathlib import Path

from orchestrator.model import EnvSpec, digest

_ONE_AT_A_TIME = threading.Lock()  # CPython 3.11 counts the depth of trees for all threads together, and then fails (gh-106905)


def adapter_sources(folder: Path, backend: str) -> frozenset[str]:
    """Names of the modules in `folder` that `backend`'s adapter needs, itself among them.

    A name that merely begins like the backend's is another backend's.
    """
    return frozenset(path.stem for path in _closure(folder.parent, [folder / f"{backend}.py"]) if path.parent == folder)


def code_digest(runner_dir: Path, backend: str, env: EnvSpec, *others: str) -> str:
    """Digest of all sources that decide what the backend's adapter does, and the files of the runner named in `others`.

    `env`: the backend's environment; an adapter of the user's own is one of its files. The rest of the runner (its timed
    loop, its probes) is not in it, so that an edit there makes no conversion or compilation stale.
    """
    own = env.extra_files or (runner_dir / "adapters" / f"{backend}.py",)
    found = _closure(runner_dir, [*own, *(runner_dir / name for name in others)])
    return digest(sorted([path.name, path.read_text(encoding="utf-8")] for path in found))


def _closure(runner_dir: Path, files: Iterable[Path]) -> frozenset[Path]:
    """The files that exist, and what they import of the runner or of their own folder, inside functions too."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            waiting += _imports(path, runner_dir)
    return frozenset(found)


def _imports(path: Path, runner_dir: Path) -> list[Path]:
    try:
        with _ONE_AT_A_TIME:
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # it will fail where it runs, and say so there
        return []
    modules: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [runner_dir.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level <= 1:
            base = path.parent if node.level else runner_dir
            if node.module:
                base = base.joinpath(*node.module.split("."))
                modules.append(base)
            modules += [base / alias.name for alias in node.names]  # `from . import x`, `from adapters import x`
    return [module.with_name(f"{module.name}.py") for module in modules]
