"""Which files below `adapters/` a backend is made of: its adapter, and what that imports from its neighbours."""

from __future__ import annotations

import ast
from pathlib import Path


def adapter_sources(folder: Path, backend: str) -> frozenset[str]:
    """Names of the modules in `folder` that `backend`'s adapter needs, itself among them; nothing is imported for it.

    Found in the sources, inside functions too: a name that merely begins like the backend's is another backend's.
    """
    found: set[str] = set()
    waiting = [backend]
    while waiting:
        name = waiting.pop()
        path = folder / f"{name}.py"
        if name in found or not path.is_file():
            continue
        found.add(name)
        waiting += _neighbours(path)
    return frozenset(found)


def _neighbours(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # it will fail where it runs, and say so there
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names += [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]
    return names
