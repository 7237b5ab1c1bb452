"""Arrays out of an .npz, at the speed of memory where it is not compressed."""

import zipfile
from typing import IO, Dict, Optional

import numpy as np

_LOCAL_HEADER = 30  # bytes of a member's own header before its name
_NAME_AND_EXTRA = slice(26, 30)  # their lengths, two little-endian 16-bit numbers


def load_arrays(path: str) -> Dict[str, np.ndarray]:
    """Every array of the file, each in memory of its own.

    `numpy.load` reads a member through zipfile, in pieces and with a checksum: 25 ms for the inputs of an image model, in
    every trial. The file lies in a folder named by its content, so what is stored as it is gets read in one go.
    """
    found: Dict[str, np.ndarray] = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            array = _stored(file, member)
            if array is None:
                with np.load(path, allow_pickle=False) as loaded:
                    return {name: loaded[name] for name in loaded.files}
            found[member.filename[:-4]] = array
    return found


def _stored(file: IO[bytes], member: zipfile.ZipInfo) -> Optional[np.ndarray]:
    """The array of an uncompressed member that is plain numbers in C order; None where it must be read the long way."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or not member.filename.endswith(".npy"):
        return None
    file.seek(member.header_offset)
    lengths = file.read(_LOCAL_HEADER)[_NAME_AND_EXTRA]
    file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    begin = file.tell()
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        return None
    if fortran or dtype.hasobject:
        return None
    array = np.empty(shape, dtype)
    if array.nbytes != member.file_size - (file.tell() - begin):
        return None
    # As bytes: a memoryview knows neither times nor float16 of every Python.
    if array.nbytes and file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # type: ignore[attr-defined]
        raise ValueError("{} ends within {}".format(file.name, member.filename))
    return array
