"""All report files of a matrix, each either the old or the new one at any moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.report.html import render_html
from orchestrator.report.markdown import render_markdown
from orchestrator.report.tables import csv_text, parquet_bytes
from orchestrator.trees import without_collector


@without_collector()
def write_reports(matrix: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Writes report.html, report.md, matrix.csv and matrix.parquet into `folder`; file name → path.

    Everything is rendered before the first file is replaced: a failure leaves the old reports as they were.
    """
    contents = {
        "report.html": render_html(matrix).encode(),
        "report.md": render_markdown(matrix).encode(),
        "matrix.csv": csv_text(matrix).encode(),
        "matrix.parquet": parquet_bytes(matrix),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _replace(folder / name, data) for name, data in contents.items()}


def _replace(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
