"""`init` and `backends`: what a matrix can be made of."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from orchestrator.backends import settings_json
from orchestrator.cli.common import Commands, add, add_backends, program, registry_of
from orchestrator.config.ablation import spelt
from orchestrator.config.starter import STARTER
from orchestrator.errors import ConfigError
from orchestrator.images.locks import locked_pythons, read_lock
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
    if options.json:
        print(json.dumps([_backend_json(spec) for spec in registry.values()], indent=1))
        return 0
    for spec in registry.values():
        facts = _backend_json(spec)
        pythons = ", ".join(facts["pythons"]) or "none"
        print(f"{spec.name}  {spec.title} {facts['version'] or ''}  ({spec.licence}; Python {pythons})")
        for name, setting in spec.settings.items():
            choices = f" of {', '.join(map(str, setting.choices))}" if setting.choices else ""
            print(f"    {name}: {setting.type}{choices}, default {spelt(setting.default)} — {setting.doc}")
            if setting.source:
                print(f"        recommended: {spelt(setting.recommended)} ({setting.source})")
    return 0


def _backend_json(spec: BackendSpec) -> dict[str, Any]:
    locks = sorted(spec.env.folder.glob("lock-*.txt"))
    version = read_lock(locks[0]).version_of(spec.env.version_of) if locks and spec.env.version_of else None
    return {
        "name": spec.name, "title": spec.title, "version": version, "licence": spec.licence, "homepage": spec.homepage,
        "formats": list(spec.formats), "precisions": list(spec.precisions), "devices": list(spec.devices),
        "pythons": list(locked_pythons(spec.env)),
        "settings": settings_json(spec),
    }
