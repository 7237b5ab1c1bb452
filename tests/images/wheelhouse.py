"""Makes tiny wheels and environments, so that pip, venv and builders can be used for real without any network."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.images.locks import make_lock
from orchestrator.model import EnvSpec

THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def make_wheel(folder: Path, name: str, version: str, *, requires: Sequence[str] = (), payload: bytes = b"") -> Path:
    """A pure-Python wheel `name` with one module that knows its version and `payload` as package data."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n".encode(),
        f"{name}/data.bin": payload,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires), ""]
        ).encode(),
    }
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return path


def make_env(folder: Path, requirements: str, *, name: str = "tiny", pythons: Sequence[str] = (THIS_PYTHON,),
             version_of: str | None = "tinyengine", version: str | None = None) -> EnvSpec:
    """An environment with these requirements, locked for these Pythons."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.in").write_text(requirements)
    env = EnvSpec(name=name, folder=folder, version_of=version_of)
    for python in pythons:
        make_lock(env, python=python)
    return EnvSpec(name=name, folder=folder, version_of=version_of, version=version)


def make_runner(folder: Path, text: str = "print('runner')\n") -> Path:
    """A runner of one file and one adapter."""
    (folder / "adapters").mkdir(parents=True, exist_ok=True)
    (folder / "run.py").write_text(text)
    (folder / "adapters" / "__init__.py").write_text("")
    return folder


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
