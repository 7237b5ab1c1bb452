"""A suite by hand: each test's model is one word, which the misbehaving adapter obeys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.conformance.suite import INDEX
from orchestrator.models.npzfile import write_npz

ADAPTER = Path(__file__).with_name("misbehaving.py")


def name_of(fault: str) -> str:
    """The name of the test whose model holds that word."""
    return f"node/test_{fault}"


def entry(fault: str, **changes: Any) -> dict[str, Any]:
    """A line of tests.json."""
    where = name_of(fault)
    return {
        "name": where, "id": where.replace("/", "."), "kind": "node", "folder": where, "sets": 1, "input_order": ["x"],
        "output_order": ["y"], "rtol": 1e-3, "atol": 1e-7, "compare": "values", "fixed_batch": 1, "beyond": None,
        "subject": {"domain": "ai.onnx", "name": fault.title(), "since": 1}, "opset": {"ai.onnx": 13}, **changes,
    }


def write_suite(folder: Path, faults: Sequence[str], **changes: Any) -> Path:
    """Tests that double x, in the order given."""
    x = np.linspace(-1, 1, 6, dtype=np.float32)
    for fault in faults:
        place = folder / name_of(fault)
        place.mkdir(parents=True)
        (place / "model.onnx").write_text(fault)
        write_npz(place / "inputs_0.npz", {"0": x})
        write_npz(place / "outputs_0.npz", {"0": x * 2})
    index = {"onnx": "1", "numpy": "2", "digest": "0" * 64, "tests": [entry(fault, **changes) for fault in faults]}
    (folder / INDEX).write_text(json.dumps(index))
    return folder
