"""Reading .npz files: exactly what numpy reads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from orchestrator.models.npzfile import write_npz

load_arrays: Any = import_module("arrays").load_arrays
ANY = hnp.arrays(
    st.one_of(hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes(), hnp.complex_number_dtypes()),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


NAMES = st.sampled_from(["input", "a/b", "a.b", "ünï", "file"])


@given(st.dictionaries(NAMES, ANY, max_size=3), st.sampled_from(["own", "savez"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_come_back_as_numpy_reads_them(tmp_path: Path, arrays: dict[str, Any], writer: str) -> None:
    path = tmp_path / "x.npz"
    if writer == "own" or "file" in arrays:
        write_npz(path, arrays)
    else:
        np.savez(path, **{name: array.T for name, array in arrays.items()})  # Fortran's order
    found = load_arrays(str(path))
    with np.load(path) as loaded:
        assert list(found) == loaded.files
        for name in loaded.files:
            assert found[name].dtype == loaded[name].dtype
            assert found[name].shape == loaded[name].shape
            assert found[name].tobytes() == loaded[name].tobytes()
            assert found[name].flags.writeable


def test_compressed_files_are_read_too(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(1000), b=np.ones(3))
    found = load_arrays(str(tmp_path / "x.npz"))
    assert found["a"].tolist() == list(range(1000))
    assert found["b"].tolist() == [1, 1, 1]


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_arrays(str(tmp_path / "x.npz"))


def test_a_file_that_was_cut_off_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(10_000))
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[:40_000])
    with pytest.raises(Exception, match=r"zip|ends within"):
        load_arrays(str(tmp_path / "x.npz"))
