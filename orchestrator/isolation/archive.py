"""Folders as tar streams into a volume, and bounded files out of one. What comes out is untrusted."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

CHUNK = 1 << 20


class TooLargeError(Exception):
    """What a container left behind is larger than it may be."""


def folder_stream(folder: Path) -> Iterator[bytes]:
    """The folder's files as a tar stream, world-readable and owned by root, without holding it in memory."""
    read_end, write_end = os.pipe()

    def pack() -> None:
        with os.fdopen(write_end, "wb") as sink, tarfile.open(fileobj=sink, mode="w|", dereference=True) as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False, filter=_readable)

    packer = threading.Thread(target=pack, daemon=True)
    packer.start()
    with os.fdopen(read_end, "rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
    packer.join(timeout=10)


def file_archive(name: str, content: bytes) -> bytes:
    """One world-readable file as a tar archive."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        tar.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def _readable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o755 if info.isdir() else 0o644
    return info


def extract_bounded(chunks: Iterable[bytes], into: Path, *, max_bytes: int, max_files: int = 64) -> list[Path]:
    """Regular files of a tar stream, below `into`, without its first folder.

    Links, devices, absolute and climbing names are left out (PEP 706's `data` rules, and stricter).

    Raises:
        TooLargeError: the stream holds more than `max_bytes` or `max_files`.
    """
    written: list[Path] = []
    source = cast("IO[bytes]", io.BufferedReader(_Chunks(chunks, max_bytes), CHUNK))
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            parts = Path(member.name).parts[1:]
            if not member.isfile() or not parts or any(part in ("..", "/") for part in parts):
                continue
            if len(written) >= max_files:
                raise TooLargeError(f"more than {max_files} files")
            target = into.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = tar.extractfile(member)
            assert stream is not None
            with target.open("wb") as sink:
                while chunk := stream.read(CHUNK):
                    sink.write(chunk)
            written.append(target)
    return written


class _Chunks(io.RawIOBase):
    """A readable over an iterator of chunks that refuses to give more than it may."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left -= len(chunk)
            if self._left < 0:
                raise TooLargeError("more bytes than a trial may leave behind")
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
