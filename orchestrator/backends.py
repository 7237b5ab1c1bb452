"""`backend.yaml` → `BackendSpec`, and the registry of all backends that this checkout and the user's folders offer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.config.check import checked, kind_of
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import DocPath, Document, load_document
from orchestrator.errors import ConfigError
from orchestrator.model import BackendSpec, BaseVariant, ConverterSpec, EnvSpec, Scalar, SettingSpec

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")  # becomes the name of a Python module and part of an image's name
_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
Lend = Callable[[str], "ConverterSpec | None"]
_TYPE_WORDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


class Registry(Mapping[str, BackendSpec]):
    """All known backends by name, in alphabetical order."""

    def __init__(self, specs: Iterable[BackendSpec]) -> None:
        self._specs = {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}

    def __getitem__(self, name: str) -> BackendSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def find(self, name: str, *, where: str) -> BackendSpec:
        """As `[name]`, but raises ConfigError with the nearest match; `where` begins the sentence."""
        if name in self._specs:
            return self._specs[name]
        near = did_you_mean(name, self)
        hint = f"Known backends: {listed(self) or 'none'}. One of your own: --backends DIR."
        raise ConfigError(f"{where}: unknown backend `{name}`{near}", hint=hint)


def load_registry(images_dir: Path, extra: Sequence[Path] = ()) -> Registry:
    """Every backend below `images_dir`, and below the user's own folders (which hold `<name>/adapter.py` as well).

    Folders whose name starts with `_` or `.` are not backends. Raises ConfigError for a damaged or doubled one.
    """
    homes = {folder.name: folder for directory in (images_dir, *extra) for folder in _folders(directory)}

    def lend(name: str) -> ConverterSpec | None:
        if name not in homes:
            return None
        lender = load_backend(homes[name])
        return (lender if homes[name].parent == images_dir else _users_own(lender)).converter

    specs = [load_backend(folder, lend) for folder in _folders(images_dir)]
    for directory in extra:
        if (directory / "backend.yaml").is_file():
            raise ConfigError(
                f"{directory}: is a backend itself, but a folder that holds backends is wanted",
                hint=f"Give {directory.parent} instead.",
            )
        specs += [_users_own(load_backend(folder, lend)) for folder in _folders(directory)]
    seen: dict[str, BackendSpec] = {}
    for spec in specs:
        if spec.name in seen:
            raise ConfigError(
                f"{spec.env.folder}: a backend `{spec.name}` exists already in {seen[spec.name].env.folder}",
                hint="Rename the folder: its name is the backend's name.",
            )
        seen[spec.name] = spec
    return Registry(specs)


def load_backend(folder: Path, lend: Lend | None = None) -> BackendSpec:
    """The backend that a folder declares; its name is the folder's. Raises ConfigError with file and line.

    `lend`: another backend's own converter, by the backend's name. Without it none can be shared.
    """
    name = folder.name
    if not _NAME.match(name):
        raise ConfigError(f"{folder}: a backend's folder must be named by one lower-case word, such as `my_backend`")
    path = folder / "backend.yaml"
    if not path.is_file():
        raise ConfigError(f"{folder}: holds no backend.yaml", hint="Folders that are no backend start with `_`.")
    document = checked(load_document(path), "backend")
    data: dict[str, Any] = document.value
    env = EnvSpec(
        name=name, folder=folder, base=BaseVariant(data.get("base", "slim")),
        extra_index_urls=tuple(data.get("extra_index_urls", ())), version_of=data["distribution"],
    )
    settings = {key: _setting(document, key, raw) for key, raw in data.get("settings", {}).items()}
    return BackendSpec(
        name=name, title=data["title"], licence=data["licence"], homepage=data["homepage"], adapter=name, env=env,
        formats=tuple(data["formats"]), precisions=tuple(data["precisions"]), devices=tuple(data["devices"]),
        settings=settings, converter=_converter(document, env, lend), unavailable=_unavailable(document),
    )


def env_of(spec: BackendSpec, version: str | None) -> EnvSpec:
    """The backend's environment, at another version of its distribution where an entry asks for one."""
    return spec.env if version is None else replace(spec.env, version=version)


def typed_setting(setting: SettingSpec, value: Any, text: str | None) -> Scalar:
    """A value of the setting's type; `text` is how it was spelt, for numbers that are meant as text.

    Raises ValueError whose message ends a sentence that began with the setting's name.
    """
    if setting.type == "string" and isinstance(value, (bool, int, float)) and text is not None:
        value = text
    if value is None and setting.default is None:
        return None  # the backend's own default
    fits = isinstance(value, _TYPES[setting.type]) and (setting.type == "boolean") == isinstance(value, bool)
    if not fits and not (setting.type == "integer" and isinstance(value, float) and value.is_integer()):
        raise ValueError(f"must be {_TYPE_WORDS[setting.type]}, not {kind_of(value)}")
    result: Scalar = int(value) if setting.type == "integer" else value
    if setting.choices and result not in setting.choices:
        options = [_spelt(choice) for choice in setting.choices]
        near = did_you_mean(_spelt(result), options)
        raise ValueError(f"must be one of {listed(options)}, not {kind_of(result)}{near}")
    return result


def settings_json(spec: BackendSpec) -> dict[str, Any]:
    """Every setting as it is declared; `recommended` is null where the vendor recommends nothing."""
    return {
        name: {"type": setting.type, "default": setting.default, "choices": list(setting.choices), "doc": setting.doc,
               "recommended": setting.recommended, "source": setting.source or None}
        for name, setting in spec.settings.items()
    }


def _setting(document: Document, name: str, raw: Mapping[str, Any]) -> SettingSpec:
    bare = SettingSpec(name=name, type=raw["type"], default=None, doc=raw.get("doc", ""))
    base: DocPath = ("settings", name)
    choices = tuple(
        _typed(document, bare, choice, (*base, "choices", i)) for i, choice in enumerate(raw.get("choices", ()))
    )
    full = replace(bare, choices=choices)
    if ("recommended" in raw) != ("source" in raw):
        raise document.error(base, f"setting `{name}` must have both `recommended` and `source`, or neither")
    return replace(
        full, default=_typed(document, full, raw["default"], (*base, "default")), source=raw.get("source", ""),
        recommended=_typed(document, full, raw["recommended"], (*base, "recommended")) if "recommended" in raw else None,
    )


def _typed(document: Document, setting: SettingSpec, value: Any, path: DocPath) -> Scalar:
    try:
        return typed_setting(setting, value, document.text(path))
    except ValueError as error:
        part = "a choice" if path[-2] == "choices" else "the recommended value" if path[-1] == "recommended" else "the default"
        raise document.error(path, f"{part} of setting `{setting.name}` {error}") from None


def _converter(document: Document, env: EnvSpec, lend: Lend | None) -> ConverterSpec | None:
    folder, raw = env.folder / "converter", document.value.get("converter")
    if raw is None:
        if folder.is_dir():
            raise document.error((), f"{folder} exists, but the key `converter` does not")
        return None
    if raw["output"] not in document.value["formats"]:
        raise document.error(("converter", "output"), f"`{raw['output']}` is not among `formats`")
    if "of" in raw:
        return _shared(document, folder, lend)
    if not folder.is_dir():
        raise document.error(("converter",), f"a converter needs the folder {folder}")
    return ConverterSpec(
        by=env.name, env=EnvSpec(
            name=f"{env.name}/converter", folder=folder, base=BaseVariant(raw.get("base", "slim")),
            extra_index_urls=tuple(raw.get("extra_index_urls", env.extra_index_urls)),
        ),
        output=raw["output"], precisions=_subset(document, "precisions"), settings=_subset(document, "settings"),
    )


def _shared(document: Document, folder: Path, lend: Lend | None) -> ConverterSpec:
    """Another backend's converter: its environment and its adapter's `convert`, for this backend's formats and precisions."""
    raw = document.value["converter"]
    own = folder.is_dir() or next((key for key in ("base", "extra_index_urls") if key in raw), None)
    if own:
        what = f"the folder {folder}" if own is True else f"`{own}`"
        raise document.error(("converter", "of"), f"a converter that is another backend's cannot have {what} as well")
    lent = lend(raw["of"]) if lend else None
    if lent is None:
        raise document.error(("converter", "of"), f"there is no backend `{raw['of']}` that has a converter of its own")
    return replace(lent, output=raw["output"], precisions=_subset(document, "precisions"), settings=_subset(document, "settings"))


def _subset(document: Document, key: str) -> tuple[str, ...]:
    """What the converter names of the backend's own `precisions` or `settings`."""
    own = document.value.get(key, ())
    named = document.value["converter"].get(key, ())
    for index, name in enumerate(named):
        if name not in own:
            raise document.error(("converter", key, index), f"`{name}` is not among `{key}`{did_you_mean(name, own)}")
    return tuple(named)


def _unavailable(document: Document) -> dict[str, str]:
    reasons = dict(document.value.get("unavailable", {}))
    for name in reasons:
        if name in document.value["precisions"]:
            raise document.error(("unavailable", name), f"`{name}` is among `precisions` as well")
    return reasons


def _folders(directory: Path) -> list[Path]:
    try:
        return sorted(p for p in directory.iterdir() if p.is_dir() and not p.name.startswith(("_", ".")))
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be listed: {error.strerror}") from None


def _users_own(spec: BackendSpec) -> BackendSpec:
    """The adapter of a user's backend lies in its own folder and travels with each of its environments."""
    adapter = spec.env.folder / "adapter.py"
    if not adapter.is_file():
        raise ConfigError(f"{spec.env.folder}: holds no adapter.py")
    converter = spec.converter
    if converter is not None and converter.by == spec.name:
        converter = replace(converter, env=replace(converter.env, extra_files=(adapter,)))
    return replace(spec, env=replace(spec.env, extra_files=(adapter,)), converter=converter)


def _spelt(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
