"""Makes tiny wheels and environments, so that pip, venv and builders can be used for real without any network."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from orchestrator.images.locks import make_lock
from orchestrator.model import EnvSpec

THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def make_wheel(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), payload: bytes = b"", python: str | None = None,
) -> Path:
    """A pure-Python wheel `name` with one module that knows its version and `payload` as package data, for some Pythons only."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n".encode(),
        f"{name}/data.bin": payload,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires),
             *([f"Requires-Python: {python}"] if python else []), ""]
        ).encode(),
    }
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return path


_BACKEND = r"""
import os, sys, zipfile
with open({ran!r}, "a") as file:
    file.write(sys.prefix + chr(10))

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import tinydep
    files = {{
        "{name}.py": "PREFIX = %r; DEP = %r" % (sys.prefix, tinydep.__version__),
        "{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "{name}-{version}.dist-info/METADATA": "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }}
    files["{name}-{version}.dist-info/RECORD"] = "".join(path + ",," + chr(10) for path in files)
    wheel = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
"""


def make_sdist(folder: Path, name: str, version: str, *, ran: Path) -> Path:
    """A source distribution whose build needs tinydep and says in `ran` that and where it was run."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["tinydep"]\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.format(name=name, version=version, ran=str(ran)),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{member}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def add_pip(folder: Path) -> str:
    """This Python's own pip as a wheel, made of its installed files; returns its version."""
    pip = metadata.distribution("pip")
    path = folder / f"pip-{pip.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in pip.files or ():
            if file.parts[0].startswith("pip") and file.suffix != ".pyc" and file.name != "RECORD":
                archive.write(str(pip.locate_file(file)), file.as_posix())
        archive.writestr(f"pip-{pip.version}.dist-info/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
    return pip.version


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
