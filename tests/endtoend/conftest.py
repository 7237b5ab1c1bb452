"""The program in a folder of its own, over a matrix of the test's choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.endtoend.program import MATRIX, Program, write_mlp


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, Sequence[str]], Program]:
    """A folder with the model and a matrix.yaml over the rows given."""

    def make(isolation: str, rows: Sequence[str]) -> Program:
        write_mlp(tmp_path / "mlp.onnx")
        text = MATRIX.format(isolation=isolation) + "".join(f"  - {row}\n" for row in rows)
        (tmp_path / "matrix.yaml").write_text(text)
        return Program(folder=tmp_path)

    return make
