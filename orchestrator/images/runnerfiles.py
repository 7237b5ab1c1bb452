"""The runner as files: what goes into every image beside the packages, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath, PurePosixPath

from orchestrator.errors import BuildError
from orchestrator.images.adaptersources import adapter_sources
from orchestrator.model import EnvSpec, digest

_LEFT_OUT = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def runner_files(runner_dir: Path, env: EnvSpec) -> dict[str, bytes]:
    """Path below `runners/` → content, with the environment's own adapters added, sorted by path.

    An extra file called `adapter.py` becomes `adapters/<backend>.py`. Raises BuildError where there is no runner.
    """
    files = {}
    own = adapter_sources(runner_dir / "adapters", PurePosixPath(env.name).parts[0])
    for path in runner_dir.rglob("*.py"):
        relative = path.relative_to(runner_dir)
        if not _LEFT_OUT.intersection(relative.parts) and _concerns(relative, env, own):
            files[relative.as_posix()] = path.read_bytes()
    if not files:
        raise BuildError(f"there is no runner in {runner_dir}", hint="Run from a complete checkout.")
    for extra in env.extra_files:
        name = f"{PurePosixPath(env.name).parts[0]}.py" if extra.name == "adapter.py" else extra.name
        try:
            files[f"adapters/{name}"] = extra.read_bytes()
        except OSError as error:
            raise BuildError(f"{env.name}: its file {extra} cannot be read", hint=str(error)) from error
    return dict(sorted(files.items()))


def _concerns(relative: PurePath, env: EnvSpec, own: Collection[str]) -> bool:
    """Whether an environment needs that file of the runner.

    Another backend's adapter is left out, so that editing it makes neither images nor records of this one stale; a
    backend of the user's own gets all, because it may build on any.
    """
    backend = PurePosixPath(env.name).parts[0]
    if relative.parts[0] == "adapters" and not env.extra_files:
        return relative.stem in ("__init__", "base") or relative.stem in own
    if relative.parts[0] in ("zoo", "export_zoo.py"):
        return backend.startswith("_")
    return True


def runner_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over paths and contents."""
    return digest({path: hashlib.sha256(content).hexdigest() for path, content in files.items()})
