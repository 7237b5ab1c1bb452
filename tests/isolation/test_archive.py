from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from orchestrator.isolation.archive import TooLargeError, extract_bounded, folder_stream


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> list[bytes]:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return [sink.getvalue()]


def test_a_folder_survives_the_way_in_and_out(tmp_path: Path) -> None:
    source = tmp_path / "io"
    (source / "sub").mkdir(parents=True)
    (source / "a.bin").write_bytes(bytes(range(256)) * 9000)
    (source / "sub" / "b.txt").write_text("b")
    wrapped = tmp_path / "wrapped"
    source.rename(tmp_path / "inner")
    wrapped.mkdir()
    (tmp_path / "inner").rename(wrapped / "io")
    extract_bounded(folder_stream(wrapped), tmp_path / "out", max_bytes=1 << 24)
    assert (tmp_path / "out" / "a.bin").read_bytes() == bytes(range(256)) * 9000
    assert (tmp_path / "out" / "sub" / "b.txt").read_text() == "b"


def test_links_devices_and_climbing_names_are_left_out(tmp_path: Path) -> None:
    link = tarfile.TarInfo("io/result.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("io/null")
    device.type = tarfile.CHRTYPE
    chunks = _tar((link, b""), (device, b""), (tarfile.TarInfo("io/../../evil"), b"x"), (tarfile.TarInfo("io/good"), b"y"))
    written = extract_bounded(chunks, tmp_path / "out", max_bytes=1 << 20)
    assert written == [tmp_path / "out" / "good"]
    assert not (tmp_path / "evil").exists()


def test_more_bytes_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        extract_bounded(_tar((tarfile.TarInfo("io/big"), b"x" * 100_000)), tmp_path, max_bytes=50_000)


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        extract_bounded(
            _tar(*((tarfile.TarInfo(f"io/{n}"), b"") for n in range(5))), tmp_path, max_bytes=1 << 20, max_files=4
        )
