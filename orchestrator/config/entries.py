"""The two axes that are more than words: models (built-in or files) and backends (rows with settings)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from orchestrator.backends import Registry, typed_setting
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import DocPath, Document
from orchestrator.model import MEMBERS_JOIN, BackendEntry, BackendSpec, Compiled, Scalar

_MAX_NAME = 60
HUBS = ("torchvision:", "timm:", "hf:", "https:", "http:")  # how names of weights begin that are no files


@dataclass(frozen=True, kw_only=True)
class AccuracyEntry:
    """A labelled data set as asked for."""

    inputs: Path  # .npz or .npy
    labels: Path | str  # a file, or the name of an array in `inputs`
    metric: str = "top1"
    output: str | None = None  # None: the model's first


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model as asked for; `path` None: a built-in one."""

    name: str
    path: Path | None = None
    builtin: str | None = None  # the built-in model that it is, where its name is another
    weights: Path | str | None = None  # for a built-in one: a file, or the name that a hub knows; None: its own
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # input -> dims, for what the file leaves open
    inputs: Path | None = None  # .npz or .npy
    tolerance: Mapping[str, float] = field(default_factory=dict)
    tolerances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by precision
    accuracy: AccuracyEntry | None = None

    @property
    def network(self) -> str:
        """The built-in model that it is (where it is none: its own name)."""
        return self.builtin or self.name


@dataclass(frozen=True, kw_only=True)
class BackendRow:
    """A row of the matrix, and which of its settings were written down (the others are defaults)."""

    entry: BackendEntry
    given: frozenset[str] = frozenset()
    swept: frozenset[str] = frozenset()  # of these, what its label says already (an ablation)
    devices: tuple[str, ...] = ()  # empty: the matrix' own


def read_row(document: Document, path: DocPath, raw: Mapping[str, Any], registry: Registry) -> BackendRow:
    """One row: `{label, backend, settings, version, compiled, devices}`; the label defaults to the backend's name."""
    below = (*path, "backend")
    where = document.where(below)
    spec = registry.find(raw["backend"], where=where)
    given = read_settings(document, (*path, "settings"), raw.get("settings", {}), spec)
    settings = {name: given.get(name, setting.default) for name, setting in spec.settings.items()}
    entry = BackendEntry(
        label=raw.get("label", spec.name), backend=spec.name, settings=settings,
        version=read_version(document, (*path, "version"), raw.get("version")),
        compiled=Compiled(raw.get("compiled", Compiled.FRESH.value)),
    )
    return BackendRow(entry=entry, given=frozenset(given),
                      devices=read_devices(document, (*path, "devices"), raw.get("devices", ()), registry))


def read_devices(document: Document, path: DocPath, raw: Sequence[str], registry: Registry) -> tuple[str, ...]:
    """Devices, each of a kind that some backend knows. Raises ConfigError for another."""
    known = sorted({"cpu", "cuda", *(device for spec in registry.values() for device in spec.devices)})
    for index, device in enumerate(raw):
        kind = device.partition(":")[0]
        if kind not in known:
            near = did_you_mean(kind, known)
            raise document.error((*path, index), f"unknown kind of device `{kind}`{near}", hint=f"Known: {listed(known)}.")
    return tuple(raw)


def read_settings(document: Document, path: DocPath, raw: Mapping[str, Any], spec: BackendSpec) -> dict[str, Scalar]:
    """Settings of one backend, each known and of its type."""
    result: dict[str, Scalar] = {}
    for name, value in raw.items():
        at = (*path, name)
        check_setting(document, at, name, spec)
        try:
            result[name] = typed_setting(spec.settings[name], value, document.text(at))
        except ValueError as error:
            raise document.error(at, f"setting `{name}` {error}") from None
    return result


def check_setting(document: Document, path: DocPath, name: str, spec: BackendSpec) -> None:
    """Raise ConfigError where the backend declares no setting of that name."""
    if name not in spec.settings:
        raise document.error(
            path, f"backend `{spec.name}` has no setting `{name}`{did_you_mean(name, spec.settings)}",
            hint=f"Its settings: {listed(spec.settings) or 'none'}.",
        )


def read_version(document: Document, path: DocPath, text: str | None) -> str | None:
    """A version of a Python distribution, as written; None stays None."""
    if text is None:
        return None
    try:
        Version(text)
    except InvalidVersion:
        raise document.error(path, f"`{text}` is not a version such as 1.30.0") from None
    return text


def read_models(document: Document, builtin: Collection[str]) -> tuple[ModelEntry, ...]:
    """The `models` list. Raises ConfigError for what is neither built in nor a file, and for names used twice."""
    entries: list[ModelEntry] = []
    places: dict[str, DocPath] = {}
    for index, raw in enumerate(document.value["models"]):
        path: DocPath = ("models", index)
        entry = _model(document, path, raw, builtin)
        if entry.name in places:
            raise document.error(
                path, f"model name `{entry.name}` is used twice, first at {document.where(places[entry.name])}",
                hint="Give one of them a name of its own: {name: …, path: …}.",
            )
        places[entry.name] = path
        entries.append(entry)
    return tuple(entries)


def read_members(document: Document, known: Sequence[ModelEntry], builtin: Collection[str]) -> tuple[ModelEntry, ...]:
    """Models that only an ensemble names. Raises ConfigError for what is no model, or whose name cannot be a part of one."""
    names = {entry.name for entry in known}
    found: list[ModelEntry] = []
    for index, raw in enumerate(document.value.get("scenarios", ())):
        for place, name in enumerate(raw.get("members", ()) if isinstance(raw, Mapping) else ()):
            path: DocPath = ("scenarios", index, "members", place)
            if MEMBERS_JOIN in name:
                raise document.error(
                    path, f"`{name}` cannot be a member: an ensemble's name joins its members' with `{MEMBERS_JOIN}`",
                    hint="Give the model another name under `models`: {name: …, path: …}.",
                )
            if name not in names:
                if name not in builtin:
                    near = did_you_mean(name, [*names, *builtin])
                    raise document.error(path, f"`{name}` is neither a built-in model nor a name under `models`{near}")
                names.add(name)
                found.append(ModelEntry(name=name))
    return tuple(found)


def find_model(document: Document, path: DocPath, text: str, builtin: Collection[str]) -> ModelEntry:
    """A built-in model by name, or an .onnx file by path, whose stem becomes its name."""
    if text in builtin:
        return ModelEntry(name=text)
    if text.endswith(".onnx") or "/" in text or (document.folder / text).is_file():
        return ModelEntry(name=name_of_file(text), path=_file(document, path, text))
    raise document.error(
        path, f"`{text}` is neither a built-in model nor a file{did_you_mean(text, builtin)}",
        hint=f"Built-in models: {listed(builtin) or 'none'}; files end in .onnx.",
    )


def name_of_file(path: str) -> str:
    """A model's name from its file's: what a name may not hold becomes `_`."""
    stem = Path(path).stem
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "_" for c in stem)[:_MAX_NAME]
    return clean if clean[:1].isalnum() else f"m{clean}"[:_MAX_NAME]


def _model(document: Document, path: DocPath, raw: str | Mapping[str, Any], builtin: Collection[str]) -> ModelEntry:
    if isinstance(raw, str):
        return find_model(document, path, raw, builtin)
    file, builtin_name = raw.get("path"), raw.get("builtin", raw.get("name"))
    if file is None and builtin_name is None:
        raise document.error(path, "a model needs a `name` (built in) or a `path`", hint="- {path: model.onnx}")
    if file is not None:
        for key in ("builtin", "weights"):
            if key in raw:
                raise document.error((*path, key), f"`{key}` is for built-in models; the file `{file}` has everything in it")
    elif builtin_name not in builtin:
        raise document.error(
            (*path, "builtin" if "builtin" in raw else "name"),
            f"`{builtin_name}` is not a built-in model{did_you_mean(builtin_name, builtin)}",
            hint=f"Built-in models: {listed(builtin) or 'none'}; a model of your own needs a `path`.",
        )
    name = raw.get("name", builtin_name if file is None else name_of_file(file))
    if file is None and name != builtin_name and name in builtin:
        raise document.error((*path, "name"), f"`{name}` is the name of another built-in model than `{builtin_name}`")
    if file is None and raw.get("shapes"):
        raise document.error((*path, "shapes"), f"the built-in model `{builtin_name}` has its own shapes")
    return ModelEntry(
        name=name,
        path=None if file is None else _file(document, (*path, "path"), file),
        builtin=builtin_name if file is None and builtin_name != name else None,
        weights=_weights(document, (*path, "weights"), raw["weights"]) if "weights" in raw else None,
        shapes={key: tuple(int(d) for d in dims) for key, dims in raw.get("shapes", {}).items()},
        inputs=_file(document, (*path, "inputs"), raw["inputs"]) if "inputs" in raw else None,
        tolerance={key: float(value) for key, value in raw.get("tolerance", {}).items() if not isinstance(value, Mapping)},
        tolerances={
            key: {name: float(limit) for name, limit in value.items()}
            for key, value in raw.get("tolerance", {}).items() if isinstance(value, Mapping)
        },
        accuracy=_accuracy(document, (*path, "accuracy"), raw["accuracy"]) if "accuracy" in raw else None,
    )


def _weights(document: Document, path: DocPath, text: str) -> Path | str:
    return text if text.startswith(HUBS) else _file(document, path, text)


def _accuracy(document: Document, path: DocPath, raw: Mapping[str, Any]) -> AccuracyEntry:
    text = str(raw["labels"])
    is_file = text.endswith((".npz", ".npy"))
    return AccuracyEntry(
        inputs=_file(document, (*path, "inputs"), raw["inputs"]),
        labels=_file(document, (*path, "labels"), text) if is_file else text,
        metric=raw.get("metric", "top1"), output=raw.get("output"),
    )


def _file(document: Document, path: DocPath, text: str) -> Path:
    """An existing file, relative to the document's folder."""
    file = document.folder / Path(text).expanduser()
    if file.is_file():
        return file
    if file.is_dir():
        raise document.error(path, f"`{text}` is a folder, not a file")
    beside = [p.name for p in file.parent.glob(f"*{file.suffix}")] if file.suffix else []
    raise document.error(path, f"the file `{text}` does not exist{did_you_mean(file.name, beside)}")
