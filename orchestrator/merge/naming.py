"""Cells by a name that a reader knows: what they are, and only those axes that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ONLY_IF_VARIED = ("precision", "threads", "instances", "device", "host", "options", "batch")


def names_of(cells: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Id → "ncnn × spam, single stream"; "… batch 8, 2 threads" where the cells have several of these."""
    varied = [axis for axis in _ONLY_IF_VARIED if len({str(cell.get(axis) or "") for cell in cells}) > 1]
    return {str(cell["id"]): _name(cell, varied) for cell in cells}


def _name(cell: Mapping[str, Any], varied: Sequence[str]) -> str:
    scenario = str(cell["scenario"])
    words = [f"{cell['label']} × {cell['model']}", scenario.replace("_", " ")]
    if "batch" in varied and not (scenario == "single_stream" and cell["batch"] == 1):
        words[1] += f" batch {cell['batch']}"
    several = cell.get("instances") not in (None, 1)
    if several:
        words.append(f"{cell['instances']} × {cell['threads']} threads")
    elif "threads" in varied:
        words.append(f"{cell['threads']} thread{'' if cell['threads'] == 1 else 's'}")
    words += [str(cell[axis]) for axis in ("precision", "device", "host") if axis in varied]
    words += [f"{name.replace('_', ' ')} {value}" for name, value in (cell.get("options") or {}).items()]
    return ", ".join(words)
