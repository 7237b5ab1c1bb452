"""`infermatrix run model.onnx …`: a matrix without a matrix.yaml, for any models and every backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.backends import Registry
from orchestrator.config.entries import name_of_file
from orchestrator.config.machine import Machine
from orchestrator.config.matrix import MatrixConfig, config_from
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import DocPath, Document
from orchestrator.errors import ConfigError

BATCH_SWEEP = (1, 2, 4, 8, 16, 32)
_NAME = "command line"


def config_for_models(
    models: Sequence[str], registry: Registry, *, builtin: Collection[str], machine: Machine,
    shapes: Mapping[str, tuple[int, ...]] | None = None, inputs: str | None = None, sets: Sequence[str] = (),
) -> MatrixConfig:
    """Every backend with its defaults on these models (paths, or names of built-in ones), offline over a batch sweep.

    `shapes` (input → dims) and `inputs` (.npz/.npy) hold for every model file given. Raises ConfigError.
    """
    if not models:
        raise ConfigError("no model was given", hint="For example: infermatrix run model.onnx")
    if len(registry) == 0:
        raise ConfigError("there is no backend to run", hint="Run from a complete checkout, or name a folder with --backends.")
    for text in models:
        if text not in builtin and not Path(text).suffix and not Path(text).exists():
            raise ConfigError(
                f"`{text}` is neither a built-in model nor a file{did_you_mean(text, builtin)}",
                hint=f"Built in: {listed(builtin)}.",
            )
    names = _names(models, builtin)
    entries: list[dict[str, Any]] = []
    patches: dict[DocPath, str] = {}
    for index, (text, name) in enumerate(zip(models, names, strict=True)):
        patches["models", index] = text
        if text in builtin and not Path(text).is_file():
            entries.append({"name": name})
            continue
        entry: dict[str, Any] = {"name": name, "path": text}
        if shapes:
            entry["shapes"] = {key: list(dims) for key, dims in shapes.items()}
        if inputs is not None:
            entry["inputs"] = inputs
            patches["models", index, "inputs"] = f"--inputs {inputs}"
        entries.append(entry)
    value = {
        "name": names[0] if len(names) == 1 else "models", "models": entries, "backends": list(registry),
        "scenarios": ["single_stream", "offline"], "batch": list(BATCH_SWEEP),
    }
    document = Document(value=value, name=_NAME, folder=Path(), patches=patches)
    return config_from(document, registry, models=builtin, machine=machine, sets=sets)


def _names(models: Sequence[str], builtin: Collection[str]) -> list[str]:
    """One name per model: the file's stem, with its folder's name before it where stems are equal."""
    names = [text if text in builtin else name_of_file(text) for text in models]
    if len(set(names)) < len(names):
        names = [
            text if text in builtin else name_of_file(f"{Path(text).absolute().parent.name}_{Path(text).name}")
            for text in models
        ]
    for index, name in enumerate(names):
        if name in names[:index]:
            first, second = models[names.index(name)], models[index]
            raise ConfigError(
                f"{first} and {second} would both be called `{name}`",
                hint="Name them in a matrix.yaml: models: [{name: …, path: …}].",
            )
    return names
