"""`merge` and `report`: from records and matrices that are there already."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from orchestrator.cli.common import Commands, add
from orchestrator.counting import several
from orchestrator.errors import ResultError
from orchestrator.merge.combine import merge_matrices
from orchestrator.merge.matrix import SCHEMA
from orchestrator.records import read_json, write_atomically
from orchestrator.report.terminal import print_matrix
from orchestrator.report.write import write_reports
from orchestrator.rundir import merge_again


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    merge = add(
        commands, "merge", _merge,
        "Merge run directories into one matrix and its reports; one alone is merged anew from its records.",
        "infermatrix merge results/local/default-1a2b3c4d runs/from-the-gpu-box --out merged",
    )
    merge.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories or matrix.json files")
    merge.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: into the one run given)")
    report = add(
        commands, "report", _report, "Write the reports of a matrix again, and print it.",
        "infermatrix report results/local/default-1a2b3c4d",
    )
    report.add_argument("run", type=Path, metavar="RUN", help="a run directory or a matrix.json")
    report.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: beside the matrix)")


def _merge(options: argparse.Namespace) -> int:
    if len(options.runs) == 1 and options.runs[0].is_dir():
        print("a single run: merged anew from its own records; name further runs to put several into one matrix", file=sys.stderr)
        matrix = merge_again(options.runs[0])
    else:
        if options.out is None:
            raise ResultError("several runs are merged into a new folder", hint="name it with --out DIR")
        matrix = merge_matrices([_matrix(path) for path in options.runs])
    out = options.out or options.runs[0]
    write_atomically(out.resolve() / "matrix.json", json.dumps(matrix, allow_nan=False).encode())
    written = write_reports(matrix, out)
    print(f"{several(len(matrix['cells']), 'cell')}: {out / 'matrix.json'}, {written['report.html']}")
    return 0


def _report(options: argparse.Namespace) -> int:
    matrix = _matrix(options.run)
    out = options.out or (options.run if options.run.is_dir() else options.run.parent)
    written = write_reports(matrix, out)
    print_matrix(matrix, report=written["report.html"])
    return 0


def _matrix(path: Path) -> dict[str, object]:
    return read_json(path / "matrix.json" if path.is_dir() else path, schema=SCHEMA)
