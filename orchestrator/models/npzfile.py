"""Reading and writing .npz: any tensor name, no pickles, bounded size."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Uncompressed .npz, identical bytes for identical arrays.

    `numpy.savez` takes names as keyword arguments, so a tensor called `file` would collide, and it stamps the time.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as stream:
                # asanyarray, not ascontiguousarray: the latter turns a scalar into a vector
                np.lib.format.write_array(stream, np.asanyarray(array, order="C"), allow_pickle=False)


def read_npz(path: Path, *, max_bytes: int) -> dict[str, Array]:
    """All arrays of an .npz that this program did not necessarily write.

    Raises:
        ValueError: not an .npz, damaged, holds Python objects, or larger than `max_bytes` once unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > max_bytes:
            raise ValueError(f"it holds {total / 1e6:.0f} MB, more than the {max_bytes / 1e6:.0f} MB allowed")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, MemoryError) as error:
        raise ValueError(f"it cannot be read as .npz ({error})") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # a member without the .npy suffix comes back as bytes
            raise ValueError(f"its member {name!r} is not an array")
    return arrays
