"""IREE: static modules per batch, workers counted in the process, and a cache that belongs to one processor."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.jobs import Prepared, Runner
from tests.adapters.smallnets import convolutional

compiler: Any = import_module("adapters.iree_compile")
cpu: Any = import_module("adapters.cpu_identity")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return convolutional(tmp_path_factory.mktemp("network"))


def trial(runner: Runner, model: Prepared, *, batches: tuple[int, ...] = (1, 3), **changes: Any) -> dict[str, Any]:
    return runner.trial("iree", model, model.folder / "model.onnx", batches=batches, **changes)


def test_the_missing_operator_is_named() -> None:
    log = ("m.mlir:7:1: error: failed to legalize operation 'torch.operator' that was explicitly marked illegal\n"
           "    %9 = torch.operator \"onnx.Mystery\"(%8) : …\n")
    assert compiler.explained(log, "compiler") == "IREE's compiler has no way to lower the operator Mystery as this model uses it"


def test_other_refusals_keep_the_first_error_without_the_file_it_was_in() -> None:
    log = "warning: x\n/tmp/a/m.mlir:126:12: error: 'func.func' op exceeded stack\nm.mlir:1:1: error: more"
    found = compiler.explained(log, "compiler")
    assert found == "IREE's compiler refuses the model: error: 'func.func' op exceeded stack"


def test_processors_that_differ_in_one_instruction_set_are_told_apart(tmp_path: Path) -> None:
    files = []
    for index, flags in enumerate(("avx2 fma", "fma avx2", "avx2 fma avx512f")):
        files.append(tmp_path / str(index))
        files[-1].write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\ncpu MHz\t: {index}000\n")
    one, same, other = (cpu.cpu_identity(str(file)) for file in files)
    assert one == same != other


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize(("settings", "flag"), [
    ({}, "--iree-opt-data-tiling=true"), ({"data_tiling": False, "channels_last": False}, "--iree-opt-data-tiling=false"),
    ({"opt_level": "O1", "target_cpu": "generic"}, "--iree-llvmcpu-target-cpu=generic")])
def test_answers_are_right_and_settings_reach_the_compiler(settings: dict[str, Any], flag: str, network: Prepared,
                                                           runner: Runner) -> None:
    result = trial(runner, network, settings=settings)
    assert result["failure"] is None
    assert all(cell["status"] == "ok" and cell["fidelity"]["rel_l2"] < 1e-4 for cell in result["cells"])
    evidence = result["evidence"]
    assert (evidence["fallback"], evidence["batching"]) == (None, "native")
    assert flag in evidence["detail"]["flags"]
    assert evidence["detail"]["compiled_batches"] == [1, 3]


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize(("threads", "driver", "workers"), [(2, "local-task", 2), (1, "local-sync", 0)])
def test_threads_are_those_that_exist(threads: int, driver: str, workers: int, network: Prepared, runner: Runner) -> None:
    detail = trial(runner, network, batches=(1,), threads=threads)["evidence"]["detail"]
    assert (detail["driver"], detail["worker_threads"], len(detail["worker_cpu_s"])) == (driver, workers, workers)


@pytest.mark.heavy
@pytest.mark.slow
def test_one_thread_of_the_callers_own_cannot_be_two(network: Prepared, runner: Runner) -> None:
    result = trial(runner, network, settings={"driver": "local-sync"})
    assert result["failure"]["kind"] == "unsupported"
    assert "local-sync" in result["failure"]["message"]


@pytest.mark.heavy
@pytest.mark.slow
def test_a_foreign_operator_is_unsupported_by_name(tmp_path: Path, runner: Runner) -> None:
    result = trial(runner, convolutional(tmp_path / "m", foreign=True))
    assert result["failure"] == {"phase": "compile", "kind": "unsupported",
                                 "message": "operator org.example::Mystery is none of ONNX's own"}


@pytest.mark.heavy
@pytest.mark.slow
def test_a_warm_start_takes_the_module_of_the_first(network: Prepared, runner: Runner) -> None:
    cell = {"id": "c", "scenario": "cold_start", "batch": 1, "min_duration_s": 0.05, "min_iterations": 2, "max_iterations": 500,
            "warmup_s": 0.0, "max_cell_s": 60}
    kept = [trial(runner, network, batches=(), cells=[{**cell, "options": {"cache": cache}}])["evidence"]["cache"]
            for cache in ("cold", "warm")]
    assert [(use["kind"], use["hit"]) for use in kept] == [("compiled module", False), ("compiled module", True)]
    assert kept[1]["files_changed"] == 0
