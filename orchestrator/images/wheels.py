"""Downloads the wheels (and source distributions) of a lock once, into a cache addressed by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from filelock import FileLock

from orchestrator.errors import BuildError
from orchestrator.images.cache import cache_dir
from orchestrator.images.indexes import run_pip_anywhere
from orchestrator.images.lockfile import Lock, Pin
from orchestrator.images.pip import target_flags
from orchestrator.images.sdists import archives, download

Progress = Callable[[str], None]


def silent(_message: str) -> None:
    """A progress callback for who does not care."""


def fetch(lock: Lock, *, extra_index_urls: Sequence[str] = (), progress: Progress = silent) -> tuple[Path, ...]:
    """One verified wheel (or source archive) per pin, in the order of the pins; asks no network where all are cached.

    Downloads with the user's own pip settings, and from `extra_index_urls` (a vendor's own index) only what is missing
    there. Raises BuildError where a wheel cannot be had or is not the locked one.
    """
    store = cache_dir() / "wheels"
    store.mkdir(parents=True, exist_ok=True)
    found = {pin.name: _cached(store, pin) for pin in lock.pins}
    if not all(found.values()):
        with FileLock(store / ".lock"):  # two runs must not download the same gigabyte side by side
            missing = [pin for pin in lock.pins if _cached(store, pin) is None]
            if missing:
                progress(f"downloading {len(missing)} of {len(lock.pins)} wheels")
                _download(lock, [pin for pin in missing if not pin.sdist], store=store, extra_index_urls=extra_index_urls)
                _download_sources(lock, [pin for pin in missing if pin.sdist], store=store, extra_index_urls=extra_index_urls)
        found = {pin.name: _cached(store, pin) for pin in lock.pins}
    wheels = [path for path in found.values() if path is not None]
    if len(wheels) < len(lock.pins):
        lost = ", ".join(f"{p.name}=={p.version}" for p in lock.pins if found[p.name] is None)
        raise BuildError(f"pip downloaded nothing with the locked SHA-256 for {lost}", hint="Make the lock again.")
    return tuple(wheels)


def link_into(wheels: Iterable[Path], folder: Path) -> None:
    """Puts the wheels into a folder, as hard links where the file system allows it."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        target = folder / wheel.name
        target.unlink(missing_ok=True)
        try:
            os.link(wheel, target)
        except OSError:
            shutil.copyfile(wheel, target)


def _cached(store: Path, pin: Pin) -> Path | None:
    for sha256 in pin.sha256:
        for wheel in archives(store / sha256) if pin.sdist else (store / sha256).glob("*.whl"):
            if sha256_of(wheel) == sha256:
                return wheel
            wheel.unlink()  # damaged: fetch it anew
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        hasher = hashlib.sha256()
        while block := file.read(1 << 20):
            hasher.update(block)
        return hasher.hexdigest()


def _download(lock: Lock, pins: Sequence[Pin], *, store: Path, extra_index_urls: Sequence[str]) -> None:
    if not pins:
        return
    what = f"download the wheels of {', '.join(p.name for p in pins[:3])}{' …' if len(pins) > 3 else ''}"
    with tempfile.TemporaryDirectory(dir=store, prefix=".download-") as name:
        folder = Path(name)
        wanted = folder / "requirements.txt"
        wanted.write_text("".join(
            f"{p.name}=={p.version} {' '.join(f'--hash=sha256:{h}' for h in p.sha256)}\n" for p in pins))
        arguments = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(folder),
                     *target_flags(python=lock.python, machine=lock.machine), "--requirement", str(wanted)]
        run_pip_anywhere(arguments, extra_index_urls, what=what)
        _keep(folder.glob("*.whl"), store)


def _download_sources(lock: Lock, pins: Sequence[Pin], *, store: Path, extra_index_urls: Sequence[str]) -> None:
    """Whatever was fetched is kept under its own SHA-256: what is not the locked one is not found there."""
    if not pins:
        return
    with tempfile.TemporaryDirectory(dir=store, prefix=".download-") as name:
        download([f"{pin.name}=={pin.version}" for pin in pins], python=lock.python, folder=Path(name),
                 extra_index_urls=extra_index_urls, what=f"download the source of {', '.join(pin.name for pin in pins)}")
        _keep(archives(Path(name)), store)


def _keep(files: Iterable[Path], store: Path) -> None:
    for file in files:
        home = store / sha256_of(file)
        home.mkdir(exist_ok=True)
        file.chmod(0o644)
        file.replace(home / file.name)
