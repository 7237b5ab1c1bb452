"""What TensorRT's two adapters do around an engine: buffers, batches, order, precision flags, names of kept engines.

The device and the engine are made by hand (handmade_cuda.py); nothing here says that the real ones behave so.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.handmade_cuda import Engine, Runtime, Trt
from tests.adapters.handmade_tensorrt import TensorRt

base: Any = import_module("adapters.base")
memory: Any = import_module("adapters.cuda_memory")
shared: Any = import_module("adapters.tensorrt_engine")
kept: Any = import_module("adapters.tensorrt")
WEAKLY = ("FP16", "INT8", "TF32", "OBEY_PRECISION_CONSTRAINTS")  # TensorRT 8 to 10
STRONGLY = ("TF32", "STRIP_PLAN")  # TensorRT-RTX


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """In the place of NVIDIA's."""
    found = Runtime()
    package = types.ModuleType("cuda.bindings")
    package.runtime = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    return found


def running(runtime: Runtime, **changes: Any) -> Any:
    return shared.Running(Trt, Engine(runtime, **changes), memory.Cuda(), ["y"], None)


def rows(count: int, start: int = 0) -> dict[str, np.ndarray]:
    x = np.arange(start, start + 3 * count, dtype=np.float32).reshape(count, 3)
    x.setflags(write=False)  # inputs are read-only
    return {"x": x}


def test_batches_of_several_sizes_take_turns_in_buffers_of_their_own(runtime: Runtime) -> None:
    it = running(runtime)
    for count, start in ((1, 0), (8, 5), (1, 50), (8, 7)):
        (y,) = it.predict(rows(count, start))
        assert np.array_equal(y, 2 * rows(count, start)["x"])
        assert runtime.queued == 0  # synchronised
    assert len(runtime.blocks) == 4  # an input and an output for each of two sizes, however often


def test_batches_that_stay_on_the_device_are_not_mixed_up(runtime: Runtime) -> None:
    it = running(runtime)
    held = [it.place(rows(4, start)) for start in (0, 100, 200)]
    for turn in (0, 2, 1, 0):
        it.run(held[turn])
        assert runtime.queued == 1  # who asked for it waits
        it.cuda.synchronize()
        found = np.empty((4, 3), dtype=np.float32)
        it.cuda.download(held[turn].buffers["y"].address, found)
        it.cuda.synchronize()
        assert np.array_equal(found, 2 * rows(4, 100 * turn)["x"])
    (y,) = it.predict(rows(4, 1))
    assert np.array_equal(y, 2 * rows(4, 1)["x"])


def test_memory_of_the_device_is_given_back(runtime: Runtime) -> None:
    it = running(runtime)
    it.predict(rows(2))
    held = it.place(rows(2))
    it.run(held)
    assert len(runtime.blocks) == 4
    del held, it
    assert runtime.blocks == {}


def test_inputs_are_cast_to_what_the_engine_takes(runtime: Runtime) -> None:
    (y,) = running(runtime, kind=np.int32).predict(rows(2))
    assert np.array_equal(y, 2 * rows(2)["x"])


def test_a_batch_that_the_engine_was_not_built_for_is_unsupported_by_name(runtime: Runtime) -> None:
    it = running(runtime)
    it.predict(rows(8))
    with pytest.raises(base.Unsupported, match=r"not built for input x of shape \(9, 3\)"):
        it.predict(rows(9))
    (y,) = it.predict(rows(8, 3))  # and the next call finds its own shape again
    assert np.array_equal(y, 2 * rows(8, 3)["x"])


def test_errors_have_cudas_own_words_and_memory_its_own_kind(runtime: Runtime) -> None:
    cuda = memory.Cuda()
    with pytest.raises(MemoryError, match="on the GPU: cudaMalloc: out of memory"):
        cuda.buffer(1 << 30)
    with pytest.raises(memory.CudaError, match="cudaFree: invalid argument"):
        cuda.free(12345)
    assert cuda.device() == "Handmade (SM90)"
    runtime.devices = 0
    with pytest.raises(memory.CudaError, match="no CUDA-capable device"):
        memory.Cuda()


@pytest.mark.parametrize(("precision", "known", "setting", "clearing"), [
    ("fp32", WEAKLY, (), ("TF32",)),
    ("tf32", WEAKLY, (), ()),
    ("fp16", WEAKLY, ("FP16",), ("TF32",)),
    ("int8", WEAKLY, ("INT8",), ("TF32",)),
    ("fp32", STRONGLY, (), ("TF32",)),
    ("fp16", STRONGLY, (), ("TF32",)),  # the file's types say it
])
def test_fp32_is_not_tf32(precision: str, known: tuple[str, ...], setting: tuple[str, ...], clearing: tuple[str, ...]) -> None:
    assert shared.precision_flags(precision, known) == (setting, clearing)


def test_an_engine_is_kept_under_all_that_it_depends_on(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a network")
    params = base.Params(precision="fp16", batches=(1, 8), settings={"builder_optimization_level": 3})
    same = {"version": "10.0", "gpu": "L4 (SM89)"}
    name = kept.engine_name(str(model), params, **same)
    assert name == kept.engine_name(str(model), replace(params, seed=5), **same)
    others = [
        kept.engine_name(str(model), params, version="11.0", gpu="L4 (SM89)"),
        kept.engine_name(str(model), params, version="10.0", gpu="L40 (SM89)"),
        kept.engine_name(str(model), replace(params, precision="fp32"), **same),
        kept.engine_name(str(model), replace(params, batches=(1, 16)), **same),
        kept.engine_name(str(model), replace(params, settings={"builder_optimization_level": 5}), **same),
    ]
    model.write_bytes(b"another network")
    others.append(kept.engine_name(str(model), params, **same))
    assert len({name, *others}) == 7


@pytest.fixture
def process(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, TensorRt]]:
    """A fresh adapter that has loaded and compiled, and the library that it did it with."""
    (tmp_path / "model.onnx").write_bytes(b"a network")
    (tmp_path / "cache").mkdir()

    def start(*, version: str = "10.0", gpu: bool = True, **changes: Any) -> tuple[Any, TensorRt]:
        library = TensorRt(runtime, version=version, gpu=gpu)
        monkeypatch.setattr(kept, "binding", lambda: library)
        params = base.Params(device="cuda", precision="fp16", batches=(1, 8), input_order=("x",), output_order=("y",),
                             keep_cache=True, cache_dir=str(tmp_path / "cache"))
        adapter = kept.Adapter()
        adapter.load(str(tmp_path / "model.onnx"), replace(params, **changes))
        adapter.compile({})
        return adapter, library

    return start


def test_a_kept_engine_is_a_hit_only_where_it_was_loaded(process: Callable[..., tuple[Any, TensorRt]], tmp_path: Path) -> None:
    def start(**changes: Any) -> tuple[bool, int]:
        adapter, library = process(**changes)
        assert np.array_equal(adapter.predict(rows(2))[0], 2 * rows(2)["x"])
        return adapter.evidence().cache.hit, library.builds

    assert start() == (False, 1)
    assert start() == (True, 0)
    assert start(precision="fp32") == (False, 1)  # an engine of its own
    assert start(version="10.1") == (False, 1)
    assert [start(), start(precision="fp32"), start(version="10.1")] == [(True, 0)] * 3
    for engine in (tmp_path / "cache").glob("*.plan"):
        engine.write_bytes(b"damaged")
    assert start() == (False, 1)
    assert start() == (True, 0)
    assert (tmp_path / "cache" / "timings.cache").read_bytes() == b"timed;" * 4  # each build went on from the timings before


def test_nothing_is_kept_where_nobody_asked(process: Callable[..., tuple[Any, TensorRt]], tmp_path: Path) -> None:
    for _ in range(2):
        adapter, library = process(keep_cache=False)
        assert library.builds == 1
        assert adapter.evidence().cache is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_builder_gets_what_was_asked_for(process: Callable[..., tuple[Any, TensorRt]]) -> None:
    _, library = process(settings={"builder_optimization_level": 5, "workspace_mb": 64})
    assert library.config is not None
    assert (library.config.flags, library.config.profiles) == ({"FP16"}, 1)
    assert (library.config.builder_optimization_level, library.config.pools) == (5, {"workspace": 64 << 20})


def test_without_a_gpu_the_builders_own_words_are_the_reason(process: Callable[..., tuple[Any, TensorRt]]) -> None:
    with pytest.raises(base.Unsupported, match="TensorRT cannot start here: CUDA initialization failure with error: 35"):
        process(gpu=False)


def test_the_binding_is_found_under_either_of_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="tensorrt_bindings"):
        kept.binding()
    (tmp_path / "tensorrt_bindings.py").write_text("NAME = 'wheel'\n")
    monkeypatch.delitem(sys.modules, "tensorrt_bindings", raising=False)
    assert kept.binding().NAME == "wheel"
    monkeypatch.delitem(sys.modules, "tensorrt_bindings", raising=False)
    (tmp_path / "tensorrt.py").write_text("import libnvinfer_that_is_missing\n")
    with pytest.raises(ModuleNotFoundError, match="libnvinfer_that_is_missing"):  # not hidden behind the other name
        kept.binding()
