"""Entry point: parses, calls the command, and is the one place where an error becomes an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from orchestrator import __version__
from orchestrator.cli.common import program
from orchestrator.cli.console import complain
from orchestrator.errors import InfermatrixError

EPILOG = """\
examples:
  infermatrix run                       the matrix.yaml of this folder
  infermatrix run model.onnx            any ONNX file, every backend, no configuration
  infermatrix plan --set batch=1,8,32   what a run would do, without doing it
  infermatrix doctor                    what this machine can and cannot measure

exit codes: 0 all well, 1 some cells failed, 2 usage or configuration, 3 engine or host, 130 interrupted
"""


POINTER = """\
infermatrix: no command was given
  {program} run model.onnx   measure any ONNX file on every backend; without a file: the matrix.yaml of this folder
  {program} plan             what a run would do and how long it takes, without doing it
  {program} --help           everything else"""

INTERRUPTED = 128 + 2  # as shells count SIGINT

# Which module holds a command: one command does not wait for the imports of the others.
GROUPS = {
    "measure": ("run", "plan"),
    "author": ("init", "backends"),
    "models": ("models",),
    "envs": ("base", "lock", "render", "build"),
    "results": ("merge", "report"),
    "host": ("doctor", "clean"),
    "conformance": ("conformance",),
}


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with `command`, at least the part that it needs."""
    top = argparse.ArgumentParser(
        prog="infermatrix", description="Which inference backend to deploy on which hardware, with which settings.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"infermatrix {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = [group for group, names in GROUPS.items() if command in names] or list(GROUPS)
    for group in wanted:
        importlib.import_module(f"orchestrator.cli.{group}").add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments:
        print(POINTER.format(program=program()), file=sys.stderr)
        return 2
    options = parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return int(options.handler(options))
    except InfermatrixError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted", "the same command goes on where it stopped")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def entry() -> None:
    """The console script."""
    code = main()
    if code == INTERRUPTED:
        # Everything of ours is cleaned up by now; a build that is still going on in a thread must not be waited for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()
