"""What is compiled once for all trials, through the real runner: filled, found again, filled anew, or not kept at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.classify import Verdict
from orchestrator.compiled import Compilations, Filling, Kept, brief
from orchestrator.isolation.base import Stop
from orchestrator.isolation.local import LocalIsolation
from orchestrator.model import Cell, Compiled, IsolationKind, Limits, Profile, ReadyEnv, RunRequest, Scenario, Status

RUNNER = Path(__file__).parents[1] / "runners" / "run.py"
ADAPTER = """
import os
from adapters.base import Adapter as Base, CacheUse, Evidence, Unsupported

class Adapter(Base):
    def load(self, path, params):
        if MODE == "unsupported":
            raise Unsupported("operator Foo is not known")
        if MODE == "fails":
            raise OSError("no room")
        self.kept = os.path.join(params.cache_dir, "code") if params.keep_cache else None
        self.hit = self.kept is not None and os.path.exists(self.kept)
        if self.kept is not None and MODE == "keeps":
            with open(self.kept, "a") as file:
                file.write("compiled\\n")
    def predict(self, inputs):
        return [inputs["x"]]
    def evidence(self):
        kind = "code" if MODE == "keeps" else "none"
        note = "" if MODE == "keeps" else "it is lazy"
        return Evidence(device="cpu", executed_on=["CPU"], cache=CacheUse(kind=kind, hit=self.hit, note=note))
    def versions(self):
        return {"made": "1"}
"""
QUICK = Profile(name="p", trials=3, min_duration_s=0.05, min_iterations=3, max_iterations=100, warmup_s=0.01, max_cell_s=5.0,
                trial_timeout_s=60.0, max_retries=0)
CELL = Cell(label="made", backend="made", settings={}, backend_version=None, model="m", host="local", device="cpu",
            precision="fp32", batch=1, threads=1, instances=1, scenario=Scenario.SINGLE_STREAM, compiled=Compiled.KEPT)


@dataclass
class Desk:
    """A backend of the test's own, its model, and everything that was said."""

    folder: Path
    mode: str
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "model").mkdir(exist_ok=True)
        np.savez(self.folder / "model" / "inputs.npz", x=np.ones((2, 3), np.float32))
        np.savez(self.folder / "model" / "reference.npz", y=np.ones((2, 3), np.float32))
        (self.folder / "model" / "model.onnx").write_bytes(b"")
        (self.folder / "adapter.py").write_text(f"MODE = {self.mode!r}\n{ADAPTER}")

    def request(self, profile: Profile, name: str, out: Path) -> RunRequest:
        """Of a trial of the one cell."""
        model = self.folder / "model"
        cell = {
            "id": CELL.id, "batch": 1, "scenario": "single_stream", "min_duration_s": profile.min_duration_s,
            "min_iterations": profile.min_iterations, "max_iterations": profile.max_iterations, "warmup_s": profile.warmup_s,
            "max_cell_s": profile.max_cell_s, "options": {},
        }
        env = ReadyEnv(name="made", kind=IsolationKind.VENV, reference=sys.executable, digest="0" * 64, installed="1" * 64,
                       python=sys.executable, size_mb=None, packages=None, prepare_s=0.0, source="given")
        return RunRequest(
            name=name, env=env, staged=(model,), max_output_bytes=1 << 20, limits=Limits(cpus=(0,), memory_mb=2048),
            deadline_s=60.0, out_dir=out,
            job={
                "protocol": "infermatrix.job/1", "task": "trial", "trial": name, "adapter": "made",
                "adapter_file": str(self.folder / "adapter.py"), "settings": {}, "precision": "fp32", "device": "cpu",
                "threads": 1, "seed": 1, "model": {"name": "m", "format": "onnx", "path": model / "model.onnx"},
                "inputs": model / "inputs.npz", "reference": model / "reference.npz", "input_order": ["x"], "output_order": ["y"],
                "batchable": True, "fixed_batch": 1, "cache_dir": None, "probe": {"enabled": False}, "cells": [cell],
            },
        )

    def compilations(self) -> Compilations:
        """As a run has them: what it found is remembered for the run, what it made lies in the cache."""
        isolation = LocalIsolation(IsolationKind.VENV, RUNNER, lambda _envs, _say: {})
        return Compilations(cache=self.folder / "cache", isolation=isolation, stop=Stop(), say=self.said.append)

    def filling(self, **content: Any) -> Filling:
        """What asks for it."""
        request: Callable[[str, Path], RunRequest] = partial(self.request, brief(QUICK))
        return Filling(name="made × m", request=request, cells=(CELL,), tolerance={}, content={"env": "e", **content})

    def trial(self, kept: Kept) -> dict[str, Any]:
        """The result of a trial that is given the cache."""
        out = self.folder / "out"
        compilations = self.compilations()
        outcome = compilations.isolation.run(kept.given(self.request(QUICK, "t", out)), Stop())
        assert outcome.result_file is not None, outcome.log_tail
        return dict(json.loads(outcome.result_file.read_text()))


def test_it_is_filled_once_and_every_trial_finds_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "keeps")
    compilations = desk.compilations()
    first = compilations.get(desk.filling())
    assert isinstance(first, Kept)
    assert not first.cached
    assert first.ms > 0
    assert compilations.get(desk.filling()) is first
    later = desk.compilations().get(desk.filling())
    assert later == replace(first, cached=True)
    assert (first.folder / "code").read_text() == "compiled\n"
    for _ in range(2):
        result = desk.trial(first)
        assert result["failure"] is None
        assert result["evidence"]["cache"]["hit"] is True
    assert [line.split()[0] for line in desk.said] == ["compiling", "compiled"]


def test_other_content_has_another_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "keeps")
    compilations = desk.compilations()
    one, two = compilations.get(desk.filling(batches=[1])), compilations.get(desk.filling(batches=[1, 4]))
    assert isinstance(one, Kept)
    assert isinstance(two, Kept)
    assert one.folder != two.folder


def test_what_somebody_removed_is_filled_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "keeps")
    first = desk.compilations().get(desk.filling())
    assert isinstance(first, Kept)
    (first.folder / "code").unlink()
    first.folder.rmdir()
    again = desk.compilations().get(desk.filling())
    assert isinstance(again, Kept)
    assert not again.cached
    assert (again.folder / "code").is_file()


def test_a_backend_that_keeps_nothing_compiles_in_every_trial_and_is_asked_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "lazy")
    assert desk.compilations().get(desk.filling()) is None
    assert desk.compilations().get(desk.filling()) is None
    assert sum("it is lazy" in line for line in desk.said) == 1


def test_what_the_backend_has_not_is_the_cells_verdict_and_is_asked_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "unsupported")
    for _ in range(2):
        found = desk.compilations().get(desk.filling())
        assert isinstance(found, Verdict)
        assert (found.status, found.reason, found.phase) == (Status.UNSUPPORTED, "operator Foo is not known", "load")
    assert [line.split()[0] for line in desk.said] == ["compiling"]


def test_a_compiler_that_fails_is_asked_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "fails")
    for _ in range(2):
        found = desk.compilations().get(desk.filling())
        assert isinstance(found, Verdict)
        assert (found.status, found.reason) == (Status.COMPILE_FAILED, "OSError: no room")
    assert [line.split()[0] for line in desk.said] == ["compiling", "compiling"]


def test_a_place_that_cannot_be_made_is_the_host_s_failure(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    found = Desk(tmp_path, "keeps").compilations().get(Desk(tmp_path, "keeps").filling())
    assert isinstance(found, Verdict)
    assert found.status is Status.HOST_LOST
    assert "cannot be made" in str(found.reason)


@pytest.mark.parametrize("text", ["", "{", '{"unsupported": 1}', '{"keeps": 1}', '[]', '{"keeps": true, "ms": "x"}'])
def test_what_is_written_about_it_may_be_torn(tmp_path: Path, text: str) -> None:
    desk = Desk(tmp_path, "keeps")
    first = desk.compilations().get(desk.filling())
    assert isinstance(first, Kept)
    first.folder.with_suffix(".json").write_text(text)
    again = desk.compilations().get(desk.filling())
    assert isinstance(again, Kept)
    assert not again.cached
