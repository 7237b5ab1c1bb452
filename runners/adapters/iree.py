"""IREE: compiles the ONNX file through MLIR to machine code for this processor, one module per batch size, and runs it.

Compiled on the machine that measures, in every trial (or taken from the kept cache): code for another processor is never run.
"""
from __future__ import annotations

import os
import time
from typing import Any, Dict, List, NamedTuple, Tuple

import iree.runtime as runtime
import numpy as np

from .base import Adapter as BaseAdapter
from .base import Evidence, Feeds, Params, Unsupported
from .child_compiler import ChildCompiler, PerBatch
from .cpu_identity import cpu_identity
from .iree_compile import MODULE

LEVELS = ("O0", "O1", "O2", "O3")
DEVICES = ("auto", "local-task", "local-sync")
CHANNELS_LAST = "--iree-preprocessing-pass-pipeline=builtin.module(util.func(iree-preprocessing-convert-conv-to-channels-last))"
WORKER = "iree-worker"  # how the runtime names its threads
WORKERS_S = 1.0  # how long the workers have to name themselves
WORKER_STACK = 4 << 20  # bytes; must hold what `stack_limit` lets the compiler put there


class Compiled(NamedTuple):
    """One batch size's module, ready to be called."""

    call: Any
    fetches: List[Tuple[int, Any]]  # position among the function's results, numpy type
    order: List[str]  # the function's parameters


class Adapter(BaseAdapter):
    """One runtime device, and a module per batch size on it."""

    def load(self, path: str, params: Params) -> None:
        """Sets up the device with its worker threads; the model is read by the compiler, in `compile`."""
        if params.precision != "fp32":
            raise Unsupported(f"IREE runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported(f"IREE runs on the CPU here, not on {params.device}")
        wanted = str(params.settings.get("driver") or "auto")
        if wanted not in DEVICES:
            raise Unsupported(f"driver is one of {', '.join(DEVICES)}, not {wanted!r}")
        self._driver = wanted if wanted != "auto" else "local-sync" if params.threads == 1 else "local-task"
        if self._driver == "local-sync" and params.threads != 1:
            raise Unsupported("the driver local-sync computes on the caller's thread alone; ask for one thread or for local-task")
        self._params = params
        # The count, not the mode "physical_cores": that one pins threads to CPUs without asking for this process's affinity.
        runtime.flags.parse_flags(
            f"--task_topology_group_count={params.threads}", f"--task_worker_stack_size={WORKER_STACK}",
            f"--task_worker_spin_us={int(params.settings.get('spin_us') or 0)}")
        self._config = runtime.Config(self._driver)
        self._compiled = PerBatch(params)
        self._compiler = ChildCompiler("iree_compile", path, params, {"flags": self._flags()}, self.versions())

    def compile(self, example: Feeds) -> bool:
        """A module for each batch size that will be measured."""
        del example
        self._compiled.fill(lambda rows: self._load(*self._compiler.folder(rows)))
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """The module that was compiled for so many rows; outputs are copied out of the device's buffers."""
        compiled: Compiled = self._compiled.of(inputs)
        results = compiled.call(*[inputs[name] for name in compiled.order])
        if not isinstance(results, tuple):
            results = (results,)
        # A host array is a view: `results` must live until it is copied.
        return [np.array(results[index].to_host(), dtype=dtype, copy=True) for index, dtype in compiled.fetches]

    def evidence(self) -> Evidence:
        """The worker threads that exist, counted in this process, and what was compiled how."""
        expected = self._params.threads if self._driver == "local-task" else 0
        seconds = _worker_seconds(expected)
        workers = len(seconds)
        fallback = None
        if workers != expected:
            fallback = f"{expected} worker threads were asked for, IREE's runtime made {workers}"
        return Evidence(
            device="cpu", executed_on=[f"IREE llvm-cpu on {self._driver}"], fallback=fallback,
            batching="native" if self._params.batchable else "fixed",
            detail={"driver": self._driver, "threads": workers or 1, "worker_threads": workers, "worker_cpu_s": seconds,
                    "flags": self._flags(),
                    "compiled_batches": self._compiled.sizes,
                    "processor": cpu_identity()},
            cache=self._compiler.cache_use())

    def versions(self) -> Dict[str, str]:
        """The compiler's distribution is the backend's; compiler and runtime are released together."""
        from importlib import metadata

        names = ("iree-base-compiler", "iree-base-runtime", "onnx")
        return {**{name: metadata.version(name) for name in names}, "numpy": np.__version__}

    def _flags(self) -> List[str]:
        settings = self._params.settings
        level = str(settings.get("opt_level") or "O3")
        if level not in LEVELS:
            raise Unsupported(f"opt_level is one of {', '.join(LEVELS)}, not {level!r}")
        flags = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
                 f"--iree-llvmcpu-target-cpu={settings.get('target_cpu') or 'host'}", f"--iree-opt-level={level}",
                 f"--iree-opt-data-tiling={str(bool(settings.get('data_tiling', True))).lower()}",
                 f"--iree-llvmcpu-stack-allocation-limit={int(settings.get('stack_limit') or 262144)}"]
        return flags + ([CHANNELS_LAST] if settings.get("channels_last", True) else [])

    def _load(self, folder: str, about: Dict[str, Any]) -> Compiled:
        module = runtime.load_vm_module(
            runtime.VmModule.mmap(self._config.vm_instance, os.path.join(folder, MODULE)), self._config)
        names = [name for name in module.vm_module.function_names if not name.startswith("__") and not name.endswith("$async")]
        if len(names) != 1:
            raise RuntimeError(f"the compiled module has the functions {', '.join(names) or 'none'}, where one was expected")
        rows = {tensor["name"]: (index, np.dtype(tensor["dtype"])) for index, tensor in enumerate(about["outputs"])}
        return Compiled(call=getattr(module, names[0]), fetches=[rows[name] for name in self._params.output_order],
                        order=about["inputs"])


def _worker_seconds(expected: int) -> List[float]:
    """Processor time of each of this process's threads that is one of IREE's workers, as the kernel names and counts them.

    A worker names itself once it runs, which may be after the first inference of a small model: they are given a moment.
    """
    deadline = time.monotonic() + WORKERS_S
    while len(found := _workers()) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return sorted(found, reverse=True)


def _workers() -> List[float]:
    found = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/stat", encoding="utf-8") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except OSError:  # it ended meanwhile
            continue
        if name.startswith(WORKER):
            fields = rest.split()
            found.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return found
