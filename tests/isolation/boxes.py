"""Requests and environments for the runner that misbehaves on request."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from orchestrator.model import IsolationKind, Limits, ReadyEnv, RunRequest

FAULTY = Path(__file__).parent / "faulty_runner.py"


def ready(kind: IsolationKind, reference: str, python: str) -> ReadyEnv:
    """An environment that needs no preparing."""
    return ReadyEnv(
        name="faulty", kind=kind, reference=reference, digest="0" * 64, installed="1" * 64, python=python,
        size_mb=None, packages=None, prepare_s=0.0, source="given",
    )


def request_for(env: ReadyEnv, fault: str, out: Path, **more: Any) -> RunRequest:
    """A request for one fault, with limits small enough to hit."""
    wanted: dict[str, Any] = {
        "name": f"t-{fault}-{uuid.uuid4().hex[:6]}", "env": env, "job": {"trial": "t-1", "fault": fault}, "staged": (),
        "limits": Limits(cpus=(0,), memory_mb=256, pids=64), "deadline_s": 20.0, "out_dir": out / "io",
        "max_output_bytes": 8 << 20,
    }
    return RunRequest(**{**wanted, **more})
