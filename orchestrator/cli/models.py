"""`models`: the built-in models and any ONNX file, with how large they are."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.common import IMAGES, RUNNERS, Commands, add
from orchestrator.config.overrides import parse_shapes
from orchestrator.environments import models_env
from orchestrator.images.cache import cache_dir
from orchestrator.models.catalogue import ZOO, ZooModel
from orchestrator.models.onnxfile import inspect
from orchestrator.models.work import count_work
from orchestrator.modelset import ModelSet

_SEED = 1  # what a matrix has unless it says otherwise
_NOT_YET = "not exported yet"


def add_commands(commands: Commands) -> None:
    """Add `models`."""
    models = add(
        commands, "models", _models, "List the built-in models, or say how large ONNX files are: parameters, work, bytes.",
        "infermatrix models model.onnx --shape input=1x3x224x224",
    )
    models.add_argument("files", nargs="*", metavar="FILE", type=Path, help="ONNX files; without any: the built-in models")
    models.add_argument("--shape", metavar="INPUT=DxD", action="append", default=[], help="dimensions that a file leaves open")
    models.add_argument("--json", action="store_true", help="as JSON")


def _models(options: argparse.Namespace) -> int:
    rows = [_file(path, options.shape) for path in options.files] if options.files else _builtin()
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(_lines(rows)))
    return 0


def _builtin() -> list[dict[str, Any]]:
    models = ModelSet(entries=(), env=models_env(IMAGES), runner_dir=RUNNERS, cache=cache_dir(), seed=_SEED)
    return [_row(model, models) for model in ZOO.values()]


def _row(model: ZooModel, models: ModelSet) -> dict[str, Any]:
    found = models.cached(model.name)
    size = None if found is None else (found.folder / found.formats["onnx"]).stat().st_size
    return {
        "name": model.name, "title": model.title, "source": model.source, "description": model.description,
        "inputs": model.inputs, "parameters": model.parameters, "multiply_adds": model.multiply_adds, "bytes": size,
        "takes_weights": model.weights, "null_reasons": {} if found else {"bytes": _NOT_YET},
    }


def _file(path: Path, shapes: Sequence[str]) -> dict[str, Any]:
    file = inspect(path, parse_shapes(shapes))
    work = count_work(file)
    return {
        "name": path.name, "title": None, "source": str(path), "description": "; ".join(file.notes),
        "inputs": ", ".join(f"{spec.name} {'×'.join(map(str, file.dims.shapes[spec.name]))}" for spec in file.inputs),
        "parameters": file.parameters, "multiply_adds": work.multiply_adds, "bytes": file.size,
        "by_operator": dict(work.by_operator),
        "null_reasons": {} if work.reason is None else {"multiply_adds": work.reason},
    }


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    width = max(20, shutil.get_terminal_size((120, 24)).columns)
    lines = [f"{'':18} {'parameters':>10} {'multiply-adds':>13} {'file':>9}  one sample"]
    for row in rows:
        lines.append(f"{row['name']:18} {_short(row['parameters'], ''):>10} {_short(row['multiply_adds'], ''):>13} "
                     f"{_short(row['bytes'], 'B'):>9}  {row['inputs']}")
        about = " — ".join(part for part in (row["title"], row["description"]) if part)
        reasons = [f"{key}: {why}" for key, why in row["null_reasons"].items() if why != _NOT_YET]
        for text in (f"{about} ({row['source']})".strip(), *reasons):
            lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
    unknown = any(why == _NOT_YET for row in rows for why in row["null_reasons"].values())
    lines.append("multiply-adds: of convolutions and matrix products for one sample; FLOPs are twice that where both are counted"
                 + (f"; file –: {_NOT_YET}" if unknown else ""))
    return lines


def _short(number: int | None, unit: str) -> str:
    """Three digits or four: 25.56 M."""
    if number is None:
        return "–"
    for prefix, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.{2 if number < 100 * size else 1}f} {prefix}{unit}"
    return f"{number} {unit}".strip()
