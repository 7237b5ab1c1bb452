"""`conformance`: the ONNX project's own tests, on every backend."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import uuid
from pathlib import Path

from orchestrator.cli.common import RESULTS, Commands, add, add_backends, registry_of
from orchestrator.cli.console import Console, complain
from orchestrator.conformance.flow import Examined, Request, examine
from orchestrator.conformance.results import score
from orchestrator.conformance.run import TestLimits
from orchestrator.conformance.suite import ensure_suite
from orchestrator.errors import BuildError, ConfigError
from orchestrator.hostfacts import read_host
from orchestrator.images.builders import Builder
from orchestrator.images.cache import cache_dir
from orchestrator.isolation.base import Stop
from orchestrator.isolation.hostlock import StoppedWaitingError
from orchestrator.model import IsolationKind
from orchestrator.workflow import choose_isolation

LOCAL = RESULTS / "local" / "conformance"


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add(
        commands, "conformance", _conformance,
        "Run the ONNX project's own backend tests on every backend, each in its own environment.",
        "infermatrix conformance --backend openvino --only node/test_conv",
    )
    parser.add_argument("--backend", metavar="NAME", action="append", default=[], help="default: all that have CPUs; repeatable")
    parser.add_argument("--only", metavar="PATTERN", help="tests whose name it fits: part of it, or with * and ?")
    parser.add_argument("--out", metavar="DIR", type=Path, default=LOCAL, help="default: results/local/conformance")
    parser.add_argument("--isolation", choices=["docker", "venv"], help="default: docker, else venv")
    parser.add_argument("--base", metavar="REF", default="auto", help="base image, as of `run`")
    parser.add_argument("--builder", choices=[builder.value for builder in Builder], help="default: classic")
    parser.add_argument("--test-time", metavar="S", type=float, default=60.0, help="a test that takes longer is timed_out")
    parser.add_argument("--test-memory", metavar="MB", type=int, default=4096, help="a test that takes more is out_of_memory")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="default: 1")
    parser.add_argument("--again", action="store_true", help="also backends that are finished")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the sums as JSON")
    add_backends(parser)


def _conformance(options: argparse.Namespace) -> int:
    registry, facts, cache = registry_of(options), read_host(), cache_dir()
    names = options.backend or [name for name, spec in registry.items() if "cpu" in spec.devices]
    backends = tuple(registry.find(name, where="--backend") for name in dict.fromkeys(names))
    if options.test_time <= 0 or options.test_memory < 256 or not 1 <= options.threads <= len(facts.usable_cpus):
        raise ConfigError(
            "the limits of a test cannot be kept",
            hint=f"--test-time above 0, --test-memory of 256 MB or more, --threads from 1 to {len(facts.usable_cpus)}")
    console = Console(quiet=options.quiet)
    suite = ensure_suite(cache, console.say)
    suite.matching(options.only)  # a pattern that fits nothing must not show only after environments were built
    choice = choose_isolation(IsolationKind(options.isolation) if options.isolation else None)
    console.say(f"isolation: {choice.kind.value} — {choice.reason}")
    request = Request(
        backends=backends, suite=suite, pattern=options.only, kind=choice.kind, base=options.base,
        limits=TestLimits(test_s=options.test_time, memory_mb=options.test_memory, threads=options.threads),
        builder=Builder.chosen(options.builder), out=options.out.resolve(), cache=cache, facts=facts,
        run_id=uuid.uuid4().hex[:8], command=shlex.join(["infermatrix", *sys.argv[1:]]), again=options.again, stop=Stop(),
        say=console.say,
    )
    try:
        with console.working("preparing"):
            found = examine(request)
    except StoppedWaitingError:
        raise KeyboardInterrupt from None
    _tell(found, as_json=options.json)
    if request.stop.requested:
        raise KeyboardInterrupt
    if any(one.error is not None for one in found):
        return BuildError.exit_code
    return 0 if all(one.is_whole for one in found) else 1


def _tell(found: list[Examined], *, as_json: bool) -> None:
    for one in found:
        if one.error is not None:
            complain(f"{one.backend}: {one.error.message}", one.error.hint)
    told = [(one, one.document) for one in found if one.document is not None]
    if as_json:
        keys = ("backend", "version", "date", "failure", "asked", "counts", "domains", "beyond", "took_s")
        rows = [{**{key: document[key] for key in keys}, "file": str(one.file)} for one, document in told]
        print(json.dumps(rows, indent=1))
        return
    for one, document in told:
        print(f"{one.backend} {document['version'] or ''}: {score(document)}")
        rest = {name: count for name, count in document["counts"].items() if name != "passed"}
        if document["failure"]:
            print(f"    nothing could be tried: {document['failure']}")
        print("    " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in rest.items()) + f"; {one.file}")
