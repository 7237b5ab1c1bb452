"""A numpy network behind the adapter contract, with a fault planted by the setting `fault`. Runs inside the runner."""
# mypy: ignore-errors
# ruff: noqa: ARG002, PTH112, UP032

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
from adapters import base


def only_here(fault, path):
    """`crash@2` plants the fault in the second process of the trial only: the CPUs are dealt out in order.

    `crash:other` plants it in the model that lies in a folder of that name only.
    """
    fault, _, folder = fault.partition(":")
    if folder and path.split("/")[-2] != folder:
        return ""
    fault, _, number = fault.partition("@")
    if not number:
        return fault
    place = sorted(os.sched_getaffinity(os.getppid())).index(min(os.sched_getaffinity(0)))
    return fault if int(number) == 1 + place else ""


class Adapter(base.Adapter):
    def load(self, path, params):
        self.fault = only_here(params.settings.get("fault", ""), path)
        self.batchable = params.batchable
        if self.fault == "load_raises":
            raise ValueError("the file is not of this world")
        if self.fault == "load_memory":
            raise MemoryError
        if self.fault == "load_unsupported":
            raise base.Unsupported("operator Foo is not known")
        if self.fault == "load_crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fault == "deaf":
            self.deafen()
        assert os.path.isdir(params.cache_dir)
        with np.load(path) as archive:
            self.weights = [archive[name] for name in sorted(archive.files)]
        self.name = params.input_order[0]
        self.buffer = np.zeros((4096, self.weights[-1].shape[1]), np.float32)
        self.calls = 0
        self.cache = self.open_cache(path, params) if params.keep_cache else None

    def open_cache(self, path, params):
        """`keeps` is honest; the others have a cache and do not use it, say they did, or write it again."""
        kept = Path(params.cache_dir) / "kept.bin"
        if self.fault not in ("keeps", "keeps_unused", "keeps_rewrites", "keeps_elsewhere"):
            return base.CacheUse(kind="none", note="it has no cache") if self.fault == "no_cache" else None
        if self.fault == "keeps_elsewhere":
            kept = Path(path).parent / "kept.bin"
        found = kept.is_file()
        if not found or self.fault in ("keeps_unused", "keeps_rewrites"):
            kept.write_bytes(b"compiled")
        return base.CacheUse(kind="compiled network", hit=found and self.fault != "keeps_unused")

    def deafen(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)

    def compile(self, example):
        if self.fault == "compile_raises":
            raise RuntimeError("no kernel for shape {}".format(example[self.name].shape))
        return self.fault == "compiles"

    def predict(self, inputs):
        self.calls += 1
        values = inputs[self.name]
        before = getattr(self, "at_" + self.fault, None)
        if before is not None:
            before(len(values))
        for weight in self.weights[:-1]:
            values = np.maximum(values @ weight, 0)
        values = values @ self.weights[-1]
        after = getattr(self, "make_" + self.fault, None)
        return [values] if after is None else after(values)

    def to_device(self, inputs):
        return dict(inputs) if self.fault.startswith("on_device") else None

    def predict_on_device(self, resident):
        if self.fault == "on_device_breaks":
            raise RuntimeError("the device is full")
        return resident[self.name] @ self.weights[0]

    def synchronize(self):
        if self.fault == "unfinished" and self.calls:
            time.sleep(0.05)

    def at_raises(self, rows):
        raise RuntimeError("kernel launch failed")

    def at_bad_alloc(self, rows):
        if rows >= 8:
            raise RuntimeError("std::bad_alloc")

    def at_memory(self, rows):
        if rows >= 8:
            raise MemoryError

    def at_unsupported(self, rows):
        raise base.Unsupported("batch {} is not supported".format(rows))

    def at_runs_elsewhere(self, rows):
        raise base.Fallback("the device is gone; the CPU took over")

    def at_slow(self, rows):
        time.sleep(0.002 * rows)

    def at_sleeps(self, rows):
        time.sleep(0.2)

    def at_hangs(self, rows):
        while True:
            time.sleep(1)

    def at_hangs_later(self, rows):
        if self.seconds() > 0.12:  # past the warm-up
            self.at_hangs(rows)

    def at_raises_later(self, rows):
        if self.calls > 250:
            raise RuntimeError("later")

    def at_crash_later(self, rows):
        if self.seconds() > 0.12:
            os.kill(os.getpid(), signal.SIGKILL)

    def seconds(self):
        now = time.monotonic()
        self.first = getattr(self, "first", now)
        return now - self.first

    def at_crash(self, rows):
        if rows >= 8:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_serves_slowly(self, rows):
        time.sleep(0.002)

    def at_serves_until_it_crashes(self, rows):
        time.sleep(0.002)  # so that the rate to be proven is one that any machine can offer
        self.at_crash(rows)

    def at_served_crashes(self, rows):
        if threading.current_thread() is not threading.main_thread():
            os.kill(os.getpid(), signal.SIGSEGV)

    def at_served_hangs(self, rows):
        while threading.current_thread() is not threading.main_thread():
            time.sleep(1)

    def at_served_raises(self, rows):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the kernel was lost")

    def at_grows(self, rows):
        if self.calls == 1:
            self.ballast = bytearray(b"x" * (64 << 20))

    def make_wrong(self, values):
        return [values * 1.05]

    def make_wrong_last_row(self, values):
        values[-1] = -values[-1]
        return [values]

    def make_nan(self, values):
        values[..., 0] = np.nan
        return [values]

    def make_shape(self, values):
        return [values[..., None]]

    def make_too_many(self, values):
        return [values, values]

    def make_not_array(self, values):
        return [values.tolist()]

    def make_reuses(self, values):
        target = self.buffer[:len(values)]
        target[...] = values
        return [target]

    def make_stale(self, values):
        """Always the first answer: right for one batch, wrong for all others."""
        if not hasattr(self, "kept"):
            self.kept = values.copy()
        return [self.kept.copy()]

    def evidence(self):
        if self.fault == "evidence_raises":
            raise RuntimeError("no evidence")
        detail = {"nan": float("nan"), "calls": self.calls, "kernel": np.float32(1.5), "object": ctypes.c_int(1)}
        fallback = "ran on the reference kernels" if self.fault == "fallback" else None
        return base.Evidence(device="cpu", executed_on=["numpy"], fallback=fallback, detail=detail, cache=self.cache)

    def versions(self):
        return {"planted": "1.0"}
