"""`init` and `backends`: what a matrix can be made of."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from orchestrator.backends import Registry, settings_json
from orchestrator.cli.common import IMAGES, RESULTS, Commands, add, add_backends, program, registry_of
from orchestrator.config.ablation import spelt
from orchestrator.config.starter import STARTER
from orchestrator.errors import ConfigError
from orchestrator.facts.gather import conformance_folders, facts_json, facts_of, locked_version
from orchestrator.facts.table import COLUMNS, fact_rows
from orchestrator.images.locks import locked_pythons
from orchestrator.model import BackendSpec
from orchestrator.records import write_atomically


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    init = add(commands, "init", _init, "Write a commented starter matrix.yaml.", "infermatrix init my-matrix.yaml")
    init.add_argument("file", nargs="?", type=Path, default=Path("matrix.yaml"))
    init.add_argument("--force", action="store_true", help="overwrite an existing file")
    backends = add(
        commands, "backends", _backends, "List the backends, their versions and settings.", "infermatrix backends --json"
    )
    backends.add_argument("--json", action="store_true", help="as JSON")
    backends.add_argument("--facts", action="store_true", help="what is known of each, with the systems that ended; no settings")
    add_backends(backends)


def _init(options: argparse.Namespace) -> int:
    if options.file.exists() and not options.force:
        raise ConfigError(f"{options.file} exists already", hint="name another file, or --force to overwrite it")
    folder = options.file.resolve().parent
    if not folder.is_dir():
        print(f"made the folder {folder}")
    write_atomically(options.file.resolve(), STARTER.encode())
    print(f"wrote {options.file}; see what it would do: {program()} plan -c {options.file}")
    return 0


def _backends(options: argparse.Namespace) -> int:
    registry = registry_of(options)
    if options.facts:
        return _facts(registry, as_json=options.json)
    if options.json:
        print(json.dumps([_backend_json(spec) for spec in registry.values()], indent=1))
        return 0
    for spec in registry.values():
        facts = _backend_json(spec)
        known = facts["facts"]
        pythons = ", ".join(facts["pythons"]) or "none"
        print(f"{spec.name}  {spec.title} {facts['version'] or ''}  ({spec.licence}; Python {pythons})")
        print(f"    ONNX tests: {known['onnx']['value'] or known['onnx']['why']}")
        for name, setting in spec.settings.items():
            choices = f" of {', '.join(map(str, setting.choices))}" if setting.choices else ""
            print(f"    {name}: {setting.type}{choices}, default {spelt(setting.default)} — {setting.doc}")
            if setting.source:
                print(f"        recommended: {spelt(setting.recommended)} ({setting.source})")
    return 0


def _facts(registry: Registry, *, as_json: bool) -> int:
    """One block a backend, then the systems that ended."""
    found = facts_json(registry.values(), IMAGES, conformance_folders(RESULTS))
    if as_json:
        print(json.dumps(found, indent=1))
        return 0
    for row in fact_rows(found):
        print(row[0])
        for name, text in zip(COLUMNS[1:], row[1:], strict=True):
            if text != "–":
                print(f"    {name}: {text}")
    return 0


def _backend_json(spec: BackendSpec) -> dict[str, Any]:
    return {
        "name": spec.name, "title": spec.title, "version": locked_version(spec), "licence": spec.licence,
        "homepage": spec.homepage,
        "formats": list(spec.formats), "precisions": list(spec.precisions), "devices": list(spec.devices),
        "pythons": list(locked_pythons(spec.env)),
        "settings": settings_json(spec),
        "facts": {name: fact.to_json() for name, fact in facts_of(spec, conformance_folders(RESULTS)).items()},
    }
