"""All facts of a backend in one place: what its folder says, what was kept by hand, what conformance tests measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.conformance.results import SCHEMA, score
from orchestrator.errors import ResultError
from orchestrator.facts.kept import Fact, load_ended, load_facts
from orchestrator.facts.sizes import FILE, parse_sizes
from orchestrator.facts.sizes import SCHEMA as SIZES
from orchestrator.images.locks import read_lock
from orchestrator.model import BackendSpec
from orchestrator.records import read_json

NOT_MEASURED = "not measured here yet: infermatrix conformance --backend {}"
MEASURED = ("onnx", "size_mb", "packages", "import_ms")


def conformance_folders(results: Path) -> tuple[Path, ...]:
    """Where conformance results lie: this machine's own before the published ones."""
    return results / "local" / "conformance", results / "conformance"


def locked_version(spec: BackendSpec) -> str | None:
    """Of the backend's distribution, as its first lock has it."""
    locks = sorted(spec.env.folder.glob("lock-*.txt"))
    return read_lock(locks[0]).version_of(spec.env.version_of) if locks and spec.env.version_of else None


def facts_of(spec: BackendSpec, results: Sequence[Path]) -> dict[str, Fact]:
    """By name; `results`: folders with conformance results, the first that has one of this backend counts."""
    declared = f"{spec.env.folder.name}/backend.yaml"
    return {
        "version": _declared(locked_version(spec), "its lock", "it has no lock"),
        "licence": _declared(spec.licence, declared), "precisions": _declared(", ".join(spec.precisions), declared),
        **load_facts(spec.env.folder), **measured(spec, results),
    }


def facts_json(specs: Iterable[BackendSpec], images: Path, results: Sequence[Path]) -> dict[str, Any]:
    """For the matrix: `{"backends": {name: {"title", fact: …}}, "ended": […]}`."""
    return {
        "backends": {
            spec.name: {"title": spec.title, **{name: fact.to_json() for name, fact in facts_of(spec, results).items()}}
            for spec in specs
        },
        "ended": [asdict(system) for system in load_ended(images)],
    }


def measured(spec: BackendSpec, results: Sequence[Path]) -> dict[str, Fact]:
    """ONNX coverage, install size, packages and import time, with the command that measured them."""
    document = next(filter(None, (_document(folder / f"{spec.name}.json") for folder in results)), None)
    if document is None:
        return dict.fromkeys(MEASURED, Fact(value=None, why=NOT_MEASURED.format(spec.name))) | _sizes(spec, results)
    environment = document["environment"]
    values = {
        "onnx": score(document), "size_mb": environment.get("size_mb"), "packages": environment.get("packages"),
        "import_ms": environment.get("import_ms"),
    }
    source, date = str(document["command"]), str(document["date"])
    return {
        name: Fact(value=None if value is None else str(value), source=source, date=date,
                   why="the run could not tell" if value is None else None)
        for name, value in values.items()
    }


def _sizes(spec: BackendSpec, results: Sequence[Path]) -> dict[str, Fact]:
    """Where no conformance test ran: what the environment took when it was installed."""
    for path in dict.fromkeys(folder.parent / FILE for folder in results):
        with contextlib.suppress(ResultError):
            whole = read_json(path, schema=SIZES)
            if (size := parse_sizes(whole, path).get(spec.env.name)) is not None:
                values = {"size_mb": str(size.installed_mb), "packages": str(size.packages)}
                source, day = str(whole["command"]), str(whole["date"])
                return {name: Fact(value=value, source=source, date=day) for name, value in values.items()}
    return {}


def _declared(value: str | None, source: str, why: str | None = None) -> Fact:
    return Fact(value=value, source=source) if value is not None else Fact(value=None, why=why)


def _document(path: Path) -> Mapping[str, Any] | None:
    try:
        return read_json(path, schema=SCHEMA)
    except ResultError:
        return None
