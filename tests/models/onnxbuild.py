"""What the builder of small ONNX files takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

Dims = Sequence[int | str | None] | None


class SaveModel(Protocol):
    """Builds a model from its parts and writes it."""

    def __call__(self, nodes: Sequence[Any], inputs: Sequence[tuple[str, int, Dims]],
                 outputs: Sequence[tuple[str, int, Dims]], weights: dict[str, Any] | None = None, *,
                 opset: int = 17, ir: int = 8, name: str = "model.onnx", functions: Sequence[Any] = (),
                 domains: dict[str, int] | None = None, edit: Callable[[Any], None] | None = None) -> Path: ...
