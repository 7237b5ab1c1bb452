"""Two made-up backends in folders of their own, a machine of four cores, and matrices read from text."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import Registry, load_registry
from orchestrator.config.machine import Machine
from orchestrator.config.matrix import MatrixConfig, config_from
from orchestrator.config.yamlfile import parse_document
from orchestrator.errors import ConfigError

BUILTIN = ("spam", "resnet50", "minilm")
MACHINE = Machine(cpus=(0, 1, 2, 3), memory_mb=4000)

ALPHA = """\
title: Alpha
licence: MIT
homepage: https://example.org
distribution: alpha-rt
formats: [onnx]
precisions: [fp32, fp16]
devices: [cpu]
settings:
  level: {type: string, default: all, choices: [basic, all], doc: How hard it tries}
  streams: {type: integer, default: 1}
  spin: {type: boolean, default: true}
  scale: {type: number, default: 0.5}
  tag: {type: string, default: null}
"""
BETA = """\
title: Beta
licence: Apache-2.0
homepage: https://example.org
distribution: beta
formats: [beta]
precisions: [fp32]
devices: [cpu]
"""
AXES = "models: [spam, minilm]\nbackends: [alpha, beta]\n"


def write_backend(folder: Path, text: str = BETA) -> Path:
    """A backend's folder with that backend.yaml."""
    folder.mkdir(parents=True)
    (folder / "backend.yaml").write_text(text)
    return folder


def make_registry(folder: Path) -> Registry:
    """`alpha` (settings, two precisions) and `beta` (none, one)."""
    write_backend(folder / "images" / "alpha", ALPHA)
    write_backend(folder / "images" / "beta", BETA)
    return load_registry(folder / "images")


def read(text: str, registry: Registry, *sets: str, folder: Path = Path(), machine: Machine = MACHINE) -> MatrixConfig:
    """The config of a matrix.yaml with that text."""
    document = parse_document(text, name="matrix.yaml", folder=folder)
    return config_from(document, registry, models=BUILTIN, machine=machine, sets=sets)


def complaint(text: str, registry: Registry, *sets: str, folder: Path = Path()) -> str:
    """What is said about it."""
    with pytest.raises(ConfigError) as caught:
        read(text, registry, *sets, folder=folder)
    assert "\n" not in caught.value.message
    return caught.value.message
