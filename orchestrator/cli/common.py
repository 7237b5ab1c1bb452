"""Arguments and look-ups that several commands share."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.backends import Registry, load_registry

ROOT = Path(__file__).resolve().parents[2]
IMAGES, RUNNERS, RESULTS = ROOT / "images", ROOT / "runners", ROOT / "results"
Handler = Callable[[argparse.Namespace], int]
Commands = Any


def program() -> str:
    """How this program was called, for commands that the user can copy: `infermatrix` or `.venv/bin/infermatrix`."""
    called = Path(sys.argv[0])
    return shlex.quote(sys.argv[0]) if called.name == "infermatrix" else "infermatrix"


def add(commands: Commands, name: str, handler: Handler, summary: str, example: str) -> argparse.ArgumentParser:
    """A command with its help and one example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    return parser


def add_backends(parser: argparse.ArgumentParser) -> None:
    """`--backends DIR`."""
    parser.add_argument(
        "--backends", metavar="DIR", type=Path, action="append", default=[],
        help="a folder with backends of your own (<name>/backend.yaml, lock, adapter.py); may be repeated",
    )


def registry_of(options: argparse.Namespace) -> Registry:
    """The backends of this project and of the folders named."""
    return load_registry(IMAGES, options.backends)
