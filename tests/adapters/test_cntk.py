"""CNTK's own traps: a library that it is linked against and does not need, threads, whole batches, what its importer lacks."""

from __future__ import annotations

import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.jobs import Prepared, Runner

pytestmark = pytest.mark.slow
mpi: Any = import_module("adapters.cntk_mpi")


@pytest.fixture(scope="module")
def digits(runner: Runner) -> Prepared:
    return runner.export("digits")


@pytest.fixture(scope="module")
def converted(runner: Runner, digits: Prepared) -> Path:
    path, result = runner.convert("cntk", digits)
    assert path is not None, result["failure"]
    return path


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")
def test_whatever_calls_the_stand_in_for_mpi_ends_with_the_names_of_what_it_called(tmp_path: Path) -> None:
    (tmp_path / "mpi.c").write_text(mpi.source())
    (tmp_path / "caller.c").write_text("int MPI_Initialized(int *); int main(void) { return MPI_Initialized(0); }")
    subprocess.run(["gcc", "-w", "-o", "caller", "caller.c", "mpi.c"], cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "caller")], capture_output=True, text=True, check=False)
    assert done.returncode == -6
    assert done.stderr == "CNTK called MPI_Initialized, and there is no MPI here\n"


@pytest.mark.heavy
def test_a_convolution_network_agrees_in_whole_batches(runner: Runner, digits: Prepared, converted: Path) -> None:
    result = runner.trial("cntk", digits, converted, batches=(1, 8))
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["cells"]
    assert max(cell["fidelity"]["rel_l2"] for cell in result["cells"]) < 1e-4
    assert result["evidence"]["batching"] == "native"
    assert result["versions"]["python"].startswith("3.6.")


@pytest.mark.heavy
@pytest.mark.parametrize("threads", [1, 2])
def test_it_has_the_threads_that_were_asked_for(runner: Runner, digits: Prepared, converted: Path, threads: int) -> None:
    detail = runner.trial("cntk", digits, converted, batches=(1,), threads=threads)["evidence"]["detail"]
    assert (detail["threads"], detail["openmp_threads"]) == (threads, threads)


@pytest.mark.heavy
def test_operators_that_the_importer_lacks_are_named_all_at_once(runner: Runner) -> None:
    path, result = runner.convert("cntk", runner.export("minilm"))
    assert path is None
    assert result["failure"]["kind"] == "unsupported"
    assert all(name in result["failure"]["message"] for name in ("Erf", "Gather", "LayerNormalization"))
