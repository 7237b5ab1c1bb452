"""Warm starts of the real backends: each says itself whether it took what an earlier process had compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.jobs import RUNNERS, Prepared, Runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spam(runner: Runner) -> Prepared:
    """A small network with its program for PyTorch."""
    return runner.export("spam")


def start(runner: Runner, backend: str, model: Prepared, path: Path, cache: str, **settings: Any) -> dict[str, Any]:
    cell = {"id": "c", "scenario": "cold_start", "batch": 1, "min_duration_s": 0.05, "min_iterations": 2, "max_iterations": 500,
            "warmup_s": 0.0, "max_cell_s": 60, "options": {"cache": cache}}
    return runner.trial(backend, model, path, batches=(), cells=[cell], settings=settings)


def cache_of(result: dict[str, Any]) -> dict[str, Any]:
    """What became of the cache in a start that counts."""
    assert result["failure"] is None
    (cell,) = result["cells"]
    assert cell["status"] == "ok", cell["reason"]
    assert cell["fidelity"]["rel_l2"] < 1e-3
    assert cell["headline_ms"] > result["phases"]["import_ms"]
    return dict(result["evidence"]["cache"])


@pytest.mark.parametrize(("backend", "kind"), [("onnxruntime", "optimised graph"), ("openvino", "compiled model")])
def test_a_second_process_takes_what_the_first_compiled(backend: str, kind: str, spam: Prepared, runner: Runner) -> None:
    path = spam.folder / "model.onnx"
    cold, warm = (cache_of(start(runner, backend, spam, path, cache)) for cache in ("cold", "warm"))
    assert (cold["kind"], cold["hit"], cold["files_before"]) == (kind, False, 0)
    assert (warm["kind"], warm["hit"], warm["files_changed"]) == (kind, True, 0)
    assert warm["files_before"] >= 1


def test_ncnn_has_no_warm_start(spam: Prepared, runner: Runner) -> None:
    path, _ = runner.convert("ncnn", spam)
    assert path is not None
    (cell,) = start(runner, "ncnn", spam, path, "warm")["cells"]
    assert cell["status"] == "unsupported"
    assert "keeps nothing between processes" in cell["reason"]
    assert cache_of(start(runner, "ncnn", spam, path, "cold"))["kind"] == "none"


def test_pytorch_has_no_warm_start_where_nothing_is_compiled(spam: Prepared, runner: Runner) -> None:
    (cell,) = start(runner, "torch", spam, spam.folder / "model.pt2", "warm", mode="eager")["cells"]
    assert cell["status"] == "unsupported"
    assert "mode eager" in cell["reason"]


def test_torch_compile_reuses_its_kernels(spam: Prepared, runner: Runner) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    warm = cache_of(start(runner, "torch", spam, spam.folder / "model.pt2", "warm", mode="compile"))
    assert warm["hit"] is True
    assert warm["kind"] == "inductor kernels"
    assert warm["detail"]["kernels_compiled"] == 0 < warm["detail"]["kernels_reused"]
    assert "frozen" in warm["note"]  # the graph itself is not kept, and the evidence says so


@pytest.mark.heavy
def test_a_library_compiled_ahead_of_time_is_there_for_the_next_process(spam: Prepared, runner: Runner) -> None:
    program = spam.folder / "model.pt2"
    results = [start(runner, "torch", spam, program, cache, mode="aot") for cache in ("cold", "warm")]
    cold, warm = (cache_of(result) for result in results)
    assert (cold["kind"], cold["hit"], cold["detail"]) == ("AOTInductor packages", False, {"from_cache": 0, "compiled": 1})
    assert (warm["kind"], warm["hit"], warm["detail"]) == ("AOTInductor packages", True, {"from_cache": 1, "compiled": 0})
    numbers = [result["evidence"]["detail"]["numbers"] for result in results]
    assert numbers[0] == numbers[1] != {}  # they lie beside the library


TWICE = """
import sys
import torch
from adapters.base import Params
from adapters.torch_aot import AheadOfTime, Program

def program():
    print("loaded")
    return Program(torch.nn.Linear(3, 2).eval(), {"numbers": {"float32": 8}})

params = Params(cache_dir=sys.argv[1], keep_cache=True, threads=1)
for _ in range(2):
    ahead = AheadOfTime(program, __file__, params, {"torch": torch.__version__}, {})
    with torch.no_grad():
        ahead.of([torch.ones(1, 3)])(torch.ones(1, 3))
    print(ahead.use().hit, ahead.about, ahead.fallback())
"""


@pytest.mark.heavy
def test_a_program_whose_library_is_there_is_not_loaded(runner: Runner, tmp_path: Path) -> None:
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    done = subprocess.run([runner.python("torch"), str(script), str(tmp_path / "cache")], capture_output=True, text=True,
                          timeout=280, check=True, env={**os.environ, "PYTHONPATH": str(RUNNERS)})
    about = {"numbers": {"float32": 8}}
    assert done.stdout.splitlines() == ["loaded", f"False {about} None", f"True {about} None"]
