"""Gathers what an image is made of, and writes it down as a build context: a folder or a tar stream."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from orchestrator import __version__
from orchestrator.errors import BuildError, ConfigError
from orchestrator.images.locks import find_lock, read_lock
from orchestrator.images.render import BaseImage, ImagePlan, context_files
from orchestrator.images.runnerfiles import runner_files
from orchestrator.images.wheels import Progress, fetch, link_into, silent
from orchestrator.model import EnvSpec

_ROOT = Path(__file__).resolve().parents[2]
DEFAULT_TEMPLATE = _ROOT / "images" / "Dockerfile.j2"
DEFAULT_RUNNER = _ROOT / "runners"


def plan_image(env: EnvSpec, *, base: BaseImage, runner_dir: Path = DEFAULT_RUNNER,
               template: Path = DEFAULT_TEMPLATE) -> ImagePlan:
    """Reads lock, runner and template. Needs the network only where another version than the locked one is asked for.

    Raises BuildError where there is no lock for the base's Python.
    """
    try:
        text = template.read_text()
    except OSError as error:
        raise BuildError(f"the Dockerfile template {template} cannot be read",
                         hint="Run from a complete checkout.") from error
    return ImagePlan(
        env=env, base=base, template=text, runner=runner_files(runner_dir, env), version=__version__,
        lock=read_lock(find_lock(env, python=base.python)), revision=source_revision(_ROOT),
    )


def source_revision(root: Path) -> str:
    """The commit that the project's files are at, "unknown" outside of a checkout."""
    try:
        done = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def write_context(env: EnvSpec, *, base: BaseImage, out_dir: Path, runner_dir: Path = DEFAULT_RUNNER,
                  template: Path = DEFAULT_TEMPLATE, progress: Progress = silent) -> Path:
    """Writes a folder that anyone can build with plain `docker build`, wheels included; returns it.

    Raises BuildError where wheels cannot be had, ConfigError where the folder holds something else already.
    """
    plan = plan_image(env, base=base, runner_dir=runner_dir, template=template)
    if out_dir.exists() and any(out_dir.iterdir()) and not (out_dir / "Dockerfile").is_file():
        raise ConfigError(f"{out_dir} is not empty and is no build context", hint="Name a new or an empty folder.")
    wheels = fetch(plan.lock, extra_index_urls=env.extra_index_urls, progress=progress)
    for old in ("wheels", "runners"):  # a wheel of an earlier rendering must not stay in the context
        shutil.rmtree(out_dir / old, ignore_errors=True)
    return write_folder(context_files(plan, wheels), out_dir)


def write_folder(files: Mapping[str, bytes | Path], out_dir: Path) -> Path:
    """Writes the files of a context; wheels become hard links where the file system allows it."""
    for name, content in files.items():
        path = out_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            link_into([content], path.parent)
        else:
            path.write_bytes(content)
            path.chmod(0o644)
    return out_dir


def write_tar(files: Mapping[str, bytes | Path], stream: IO[bytes]) -> None:
    """Writes the context as a tar whose bytes depend on the files alone: no times, no owners."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            if isinstance(content, Path):
                entry.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
