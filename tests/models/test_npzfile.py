"""Arrays survive under any name, and foreign archives are read within bounds."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.models.filehash import FileHashes
from orchestrator.models.npzfile import read_npz, write_npz

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(
    lambda name: not name.endswith(".npy"))


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, st.integers(0, 9), max_size=5))
def test_any_name_survives(names: dict[str, int]) -> None:
    arrays = {name: np.full((2, 3), value) for name, value in names.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        write_npz(path, arrays)
        back = read_npz(path, max_bytes=10**6)
        with np.load(path) as plain:  # as a runner reads it
            assert {name: plain[name].tolist() for name in names} == {n: a.tolist() for n, a in arrays.items()}
    assert {name: array.tolist() for name, array in back.items()} == {n: a.tolist() for n, a in arrays.items()}


def test_scalars_stay_scalars_and_transposed_arrays_stay_themselves(tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).T
    write_npz(tmp_path / "a.npz", {"s": np.float32(3), "t": array})  # type: ignore[dict-item]
    back = read_npz(tmp_path / "a.npz", max_bytes=10**6)
    assert back["s"].shape == ()
    np.testing.assert_array_equal(back["t"], array)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * 10**7)
    with pytest.raises(ValueError, match="more than the 1 MB allowed"):
        read_npz(tmp_path / "a.npz", max_bytes=10**6)


@pytest.mark.parametrize("member", ["x", "x.npy"])
def test_members_that_are_no_arrays_are_refused(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(member, b"text")
    with pytest.raises(ValueError, match=r"array|pickled|read"):
        read_npz(tmp_path / "a.npz", max_bytes=10**6)


def test_hashes_of_large_files_are_remembered_until_they_change(tmp_path: Path) -> None:
    large, hashes = tmp_path / "large", FileHashes(tmp_path / "hashes.json")
    large.write_bytes(b"a" * 5_000_000)
    first = hashes.sha256(large)
    store = (tmp_path / "hashes.json").read_text()
    (tmp_path / "hashes.json").write_text(store.replace(first, "f" * 64))
    assert hashes.sha256(large) == "f" * 64  # taken from memory
    large.rename(tmp_path / "moved")
    assert hashes.sha256(tmp_path / "moved") == "f" * 64
    (tmp_path / "moved").write_bytes(b"b" * 5_000_001)
    assert hashes.sha256(tmp_path / "moved") not in ("f" * 64, first)


def test_a_damaged_memory_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "hashes.json").write_text("{broken")
    (tmp_path / "f").write_bytes(b"a" * 5_000_000)
    assert len(FileHashes(tmp_path / "hashes.json").sha256(tmp_path / "f")) == 64
