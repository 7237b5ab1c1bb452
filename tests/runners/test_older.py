"""The runner on Pythons older than 3.8: nothing in its syntax that they lack, and the functions that it gives them itself."""

from __future__ import annotations

import ast
import gc
import mmap
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

older: Any = import_module("older")
RUNNERS = Path(__file__).parents[2] / "runners"
OLDEST_GRAMMAR = (3, 7)  # the oldest that `ast` knows; what 3.6 lacks of it is the import that is looked for below
NOT_SHARED = {"export_zoo.py"}  # in the exporter's environment only; all other files are compiled for every environment
SHARED = sorted(path for path in (*RUNNERS.glob("*.py"), *RUNNERS.glob("scenarios/*.py"), RUNNERS / "adapters" / "base.py")
                if path.name not in NOT_SHARED)


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(RUNNERS).as_posix())
def test_what_every_environment_runs_is_syntax_that_python_3_6_knows(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=OLDEST_GRAMMAR)
    future = [node.lineno for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert not future, f"{path.name}, line {future}: Python 3.6 has no `annotations` to import"


def test_newer_pythons_are_left_as_they_are() -> None:
    before = (time.perf_counter_ns, time.time_ns, gc.freeze, os.memfd_create)
    older.fill_gaps()
    assert (time.perf_counter_ns, time.time_ns, gc.freeze, os.memfd_create) == before


def test_a_clock_of_seconds_read_in_nanoseconds_agrees_with_the_one_of_nanoseconds() -> None:
    read = older._in_ns(time.perf_counter)
    before = time.perf_counter_ns()
    found = read()
    after = time.perf_counter_ns()
    assert isinstance(found, int)
    assert before - 1_000 <= found <= after + 1_000


def test_a_file_without_a_name_is_memory_that_two_descriptors_share() -> None:
    handle = older._unlinked_file("infermatrix-test")
    other = os.dup(handle)
    try:
        os.ftruncate(handle, 4)
        with mmap.mmap(handle, 4) as mine, mmap.mmap(other, 4) as theirs:
            mine[2] = 7
            assert theirs[:4] == b"\0\0\7\0"
        assert os.fstat(handle).st_nlink == 0
    finally:
        os.close(handle)
        os.close(other)
